// New keys.
import { coded, invalidValue, requireFunction, requireInt32, requireInteger, requireObject, requireOneOf, requireString, requireUint32 } from './arguments.js';
import { call, fields, json, KEY_GENERATE, later, number, RANDOM } from './calls.js';
import { described, exported, Handle, keyObject, outputEncoding } from './keys.js';

const PLAIN = ['ed25519', 'ed448', 'x25519', 'x448'];
const SECRET_BITS_MAX = 2 ** 31 - 1;

function encodingOption(options, name, type, isPublic) {
  const encoding = options?.[name];
  if (encoding === undefined || encoding === null) return null;
  if (typeof encoding !== 'object') throw invalidValue(`options.${name}`, encoding);
  return outputEncoding(encoding, type, isPublic, `options.${name}`);
}

function rsaOptions(options) {
  const { modulusLength, publicExponent } = options;
  requireUint32(modulusLength, 'options.modulusLength');
  if (publicExponent !== undefined && publicExponent !== null) requireUint32(publicExponent, 'options.publicExponent');
  return { modulusLength, publicExponent: publicExponent ?? 65537 };
}

function ecOptions(options) {
  const { namedCurve, paramEncoding } = options;
  requireString(namedCurve, 'options.namedCurve');
  if (paramEncoding !== undefined && paramEncoding !== null && paramEncoding !== 'named') throw invalidValue('options.paramEncoding', paramEncoding);
  return { namedCurve };
}

function dsaOptions(options) {
  const { modulusLength, divisorLength } = options;
  requireUint32(modulusLength, 'options.modulusLength');
  if (divisorLength !== undefined && divisorLength !== null) requireInt32(divisorLength, 'options.divisorLength', 0);
  return { modulusLength };
}

const READERS = { __proto__: null, rsa: rsaOptions, ec: ecOptions, dsa: dsaOptions };

// The checks now, the work when it is called.
function pairWork(type, options) {
  requireString(type, 'type');
  const forms = [encodingOption(options, 'publicKeyEncoding', type, true), encodingOption(options, 'privateKeyEncoding', type, false)];
  if (options !== undefined) requireObject(options, 'options');
  const read = READERS[type];
  if (read === undefined && !PLAIN.includes(type)) throw invalidValue('type', type, 'must be a supported key type');
  if (read !== undefined) requireObject(options, 'options');
  const chosen = { type, ...read?.(options) };
  return () => fields(call(KEY_GENERATE, json(chosen))).map((answer, index) => shownAs(described(answer), forms[index]));
}

const shownAs = (handle, form) => (form === null ? keyObject(handle) : exported(handle, form));

export const generateHandles = (chosen) => fields(call(KEY_GENERATE, json(chosen))).map(described);

export function generateKeyPairSync(type, options) {
  const [publicKey, privateKey] = pairWork(type, options)();
  return { publicKey, privateKey };
}

export function generateKeyPair(type, options, callback) {
  if (typeof options === 'function') [options, callback] = [undefined, options];
  requireFunction(callback, 'callback');
  const work = pairWork(type, options);
  let pair;
  try {
    pair = work();
  } catch (error) {
    later(callback, error);
    return;
  }
  later(callback, null, ...pair);
}

function secretBits(type, options) {
  requireString(type, 'type');
  requireObject(options, 'options');
  const { length } = options;
  if (type === 'hmac') requireInteger(length, 'options.length', 8, SECRET_BITS_MAX);
  else if (type === 'aes') requireOneOf(length, 'options.length', [128, 192, 256]);
  else throw invalidValue('type', type, 'must be a supported key type');
  return length;
}

// One call of the host gives so much.
const SECRET_BYTES_MAX = 1 << 20;

function newSecret(bits) {
  const bytes = Math.floor(bits / 8);
  if (bytes > SECRET_BYTES_MAX) throw coded(Error, 'ERR_CRYPTO_OPERATION_FAILED', `a key may have ${SECRET_BYTES_MAX} bytes`);
  return keyObject(new Handle('secret', new Uint8Array(call(RANDOM, number(bytes)))));
}

export const generateKeySync = (type, options) => newSecret(secretBits(type, options));

export function generateKey(type, options, callback) {
  requireFunction(callback, 'callback');
  later(callback, null, newSecret(secretBits(type, options)));
}
