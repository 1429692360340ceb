// pbkdf2, scrypt and hkdf.
import { coded, isView, isArrayBuffer, outOfRange, requireFunction, requireInt32, requireInteger, requireString, requireUint32, sourceBytes, wrongType } from './arguments.js';
import { call, callBack, HKDF, json, PBKDF2, SCRYPT } from './calls.js';
import { handleOf, secretBytes } from './keys.js';
import { digestOf } from './tables.js';

const LENGTH_MAX = 2 ** 53 - 1;
const INFO_BYTES_MAX = 1024;

function digestNamed(name) {
  const digest = digestOf(name);
  if (digest === undefined) throw coded(TypeError, 'ERR_CRYPTO_INVALID_DIGEST', `Invalid digest: ${name}`);
  return digest.name;
}

// ---- PBKDF2 ------------------------------------------------------------------------------------------------------

function pbkdf2Work(password, salt, iterations, keylen, digest) {
  requireString(digest, 'digest');
  const secret = sourceBytes(password, 'password');
  const grains = sourceBytes(salt, 'salt');
  requireInt32(iterations, 'iterations', 1);
  requireInt32(keylen, 'keylen', 0);
  return () => call(PBKDF2, json({ hash: digestNamed(digest), iterations, length: keylen }), secret, grains);
}

export function pbkdf2(password, salt, iterations, keylen, digest, callback) {
  if (typeof digest === 'function') [digest, callback] = [undefined, digest];
  const work = pbkdf2Work(password, salt, iterations, keylen, digest);
  requireFunction(callback, 'callback');
  digestNamed(digest);
  callBack(callback, work);
}

export const pbkdf2Sync = (password, salt, iterations, keylen, digest) => pbkdf2Work(password, salt, iterations, keylen, digest)();

// ---- scrypt ------------------------------------------------------------------------------------------------------

const DEFAULTS = { N: 16384, r: 8, p: 1, maxmem: 32 << 20 };

function eitherOption(options, name, alias) {
  const value = options[name];
  if (value !== undefined) requireUint32(value, name);
  const other = options[alias];
  if (other === undefined) return value || DEFAULTS[name];
  if (value !== undefined) throw coded(TypeError, 'ERR_INCOMPATIBLE_OPTION_PAIR', `Option "${name}" cannot be used in combination with option "${alias}"`);
  requireUint32(other, alias);
  return other || DEFAULTS[name];
}

function scryptWork(password, salt, keylen, options) {
  const secret = sourceBytes(password, 'password');
  const grains = sourceBytes(salt, 'salt');
  requireInt32(keylen, 'keylen', 0);
  const given = options ?? {};
  const chosen = { N: eitherOption(given, 'N', 'cost'), r: eitherOption(given, 'r', 'blockSize'), p: eitherOption(given, 'p', 'parallelization') };
  const { maxmem = DEFAULTS.maxmem } = given;
  requireInteger(maxmem, 'maxmem', 0, Number.MAX_SAFE_INTEGER);
  return () => call(SCRYPT, json({ ...chosen, maxmem: maxmem || DEFAULTS.maxmem, length: keylen }), secret, grains);
}

export function scrypt(password, salt, keylen, options, callback) {
  if (callback === undefined && typeof options === 'function') [options, callback] = [undefined, options];
  const work = scryptWork(password, salt, keylen, options);
  requireFunction(callback, 'callback');
  callBack(callback, work);
}

export const scryptSync = (password, salt, keylen, options) => scryptWork(password, salt, keylen, options)();

// ---- HKDF --------------------------------------------------------------------------------------------------------

function keyMaterial(key) {
  if (handleOf(key) !== null) return secretBytes(key, 'ikm');
  if (typeof key !== 'string' && !isView(key) && !isArrayBuffer(key)) {
    throw wrongType('ikm', 'of type string or an instance of SecretKeyObject, ArrayBuffer, TypedArray, DataView, or Buffer', key);
  }
  return sourceBytes(key, 'ikm');
}

function byteSource(value, name) {
  if (typeof value === 'string' || isView(value) || isArrayBuffer(value)) return sourceBytes(value, name);
  throw wrongType(name, 'of type string or an instance of ArrayBuffer, TypedArray, DataView, or Buffer', value);
}

function hkdfWork(digest, key, salt, info, length) {
  requireString(digest, 'digest');
  const material = keyMaterial(key);
  const grains = byteSource(salt, 'salt');
  const context = byteSource(info, 'info');
  requireInteger(length, 'length', 0, LENGTH_MAX);
  if (context.length > INFO_BYTES_MAX) throw outOfRange('info', `must not contain more than ${INFO_BYTES_MAX} bytes`, context.length);
  const name = digestNamed(digest);
  const { bytes } = digestOf(digest);
  if (length > 255 * bytes) throw coded(RangeError, 'ERR_CRYPTO_INVALID_KEYLEN', 'Invalid key length');
  return () => {
    const derived = call(HKDF, json({ hash: name, length }), material, grains, context);
    return derived.buffer.slice(derived.byteOffset, derived.byteOffset + derived.length);
  };
}

export function hkdf(digest, key, salt, info, length, callback) {
  const work = hkdfWork(digest, key, salt, info, length);
  requireFunction(callback, 'callback');
  callBack(callback, work);
}

export const hkdfSync = (digest, key, salt, info, length) => hkdfWork(digest, key, salt, info, length)();
