// createSign, createVerify, sign and verify.
import { coded, dataBytes, invalidValue, isView, requireFunction, requireString, shown, sourceBytes, wrongType } from './arguments.js';
import { call, callBack, json, SIGN, VERIFY } from './calls.js';
import { privateHandle, publicHandle } from './keys.js';
import { PARTS, Streamed } from './streams.js';
import { digestOf, RSA_PKCS1_PSS_PADDING, RSA_PSS_SALTLEN_MAX_SIGN } from './tables.js';

const notInitialised = () => coded(Error, 'ERR_CRYPTO_INVALID_STATE', 'Not initialised');
const PURE = ['ed25519', 'ed448'];
const TAKE = Symbol('take');

function intOption(name, key) {
  const value = key[name];
  if (value === undefined || value === value >> 0) return value;
  throw invalidValue(`options.${name}`, value);
}

// The options that come along with a key, read once.
function optionsOf(key) {
  if (key === null || key === undefined) return {};
  const padding = intOption('padding', key);
  let saltLength = intOption('saltLength', key);
  if (padding === RSA_PKCS1_PSS_PADDING) saltLength ??= RSA_PSS_SALTLEN_MAX_SIGN;
  const { dsaEncoding = 'der' } = typeof key === 'object' ? key : {};
  if (dsaEncoding !== 'der' && dsaEncoding !== 'ieee-p1363') throw invalidValue('options.dsaEncoding', dsaEncoding);
  return { padding, saltLength, dsaEncoding };
}

class Signing extends Streamed {
  #hash;
  #chunks = [];
  constructor(algorithm) {
    super();
    requireString(algorithm, 'algorithm');
    const digest = digestOf(algorithm);
    if (digest === undefined) throw coded(TypeError, 'ERR_CRYPTO_INVALID_DIGEST', 'Invalid digest');
    this.#hash = digest.name;
  }
  update(data, encoding) {
    const bytes = dataBytes(data, encoding);
    if (this.#chunks === null) throw notInitialised();
    this.#chunks.push(bytes);
    return this;
  }
  // What was gathered, once.
  [TAKE](handle) {
    if (this.#chunks === null) throw notInitialised();
    const chunks = this.#chunks;
    this.#chunks = null;
    if (PURE.includes(handle.type)) throw coded(Error, 'ERR_CRYPTO_UNSUPPORTED_OPERATION', 'Unsupported crypto operation');
    return { hash: this.#hash, chunks };
  }
  [PARTS]() {
    return { transform: (chunk, encoding) => void this.update(chunk, encoding), flush: () => undefined };
  }
}

export class Sign extends Signing {
  sign(key, encoding) {
    if (!key) throw keyRequired();
    const handle = privateHandle(key, 'privateKey');
    const options = optionsOf(key);
    const { hash, chunks } = this[TAKE](handle);
    return shown(call(SIGN, json({ hash, ...options }), handle.bytes, chunks), encoding);
  }
}

export class Verify extends Signing {
  verify(key, signature, encoding) {
    const handle = publicHandle(key, 'key');
    const options = optionsOf(key);
    const bytes = sourceBytes(signature, 'signature', encoding);
    const { hash, chunks } = this[TAKE](handle);
    return verified(handle, { hash, ...options }, chunks, bytes);
  }
}

const verified = (handle, options, data, signature) => call(VERIFY, json({ ...options, kind: handle.kind }), handle.bytes, data, signature)[0] === 1;

const keyRequired = () => coded(Error, 'ERR_CRYPTO_SIGN_KEY_REQUIRED', 'No key provided to sign');

export const createSign = (algorithm) => new Sign(algorithm);
export const createVerify = (algorithm) => new Verify(algorithm);

function hashOf(algorithm) {
  if (algorithm === null || algorithm === undefined) return null;
  const digest = digestOf(algorithm);
  if (digest === undefined) throw coded(TypeError, 'ERR_CRYPTO_INVALID_DIGEST', `Invalid digest: ${algorithm}`);
  return digest.name;
}

function checkedStart(algorithm, data, callback) {
  if (algorithm !== null && algorithm !== undefined) requireString(algorithm, 'algorithm');
  if (callback !== undefined) requireFunction(callback, 'callback');
  return sourceBytes(data, 'data');
}

function refuseContext(key) {
  const context = typeof key === 'object' && key !== null ? key.context : undefined;
  if (context === undefined) return;
  if (!isView(context)) throw wrongType('options.context', 'an instance of Buffer, TypedArray, or DataView', context);
  if (context.byteLength) throw coded(Error, 'ERR_CRYPTO_OPERATION_FAILED', 'Context parameter is unsupported');
}

function now(callback, work) {
  if (callback === undefined) return work();
  callBack(callback, work);
  return undefined;
}

export function sign(algorithm, data, key, callback) {
  const bytes = checkedStart(algorithm, data, callback);
  if (!key) throw keyRequired();
  const options = optionsOf(key);
  refuseContext(key);
  const handle = privateHandle(key);
  const hash = hashOf(algorithm);
  return now(callback, () => call(SIGN, json({ hash, ...options }), handle.bytes, bytes));
}

export function verify(algorithm, data, key, signature, callback) {
  const bytes = checkedStart(algorithm, data, callback);
  const options = optionsOf(key);
  refuseContext(key);
  const expected = sourceBytes(signature, 'signature');
  const handle = publicHandle(key);
  const hash = hashOf(algorithm);
  return now(callback, () => verified(handle, { hash, ...options }, bytes, expected));
}
