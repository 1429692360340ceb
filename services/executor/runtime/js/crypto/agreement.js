// createECDH and diffieHellman.
import { coded, invalidValue, requireFunction, requireObject, requireString, shown, sourceBytes } from './arguments.js';
import { named } from '../web/named.js';
import { AGREE, call, callBack, ECDH as ECDH_CALL, EMPTY, fields, json } from './calls.js';
import { handleOf, privateHandle, publicHandle } from './keys.js';

const ask = (method, curve, scalar = EMPTY, point = EMPTY, format = undefined) => call(ECDH_CALL, json({ method, curve, format }), scalar, point);

const failed = (message) => coded(Error, 'ERR_CRYPTO_OPERATION_FAILED', message);

function formatOf(format) {
  if (!format) return 'uncompressed';
  if (!['compressed', 'hybrid', 'uncompressed'].includes(format)) throw coded(TypeError, 'ERR_CRYPTO_ECDH_INVALID_FORMAT', `Invalid ECDH format: ${format}`);
  return format;
}

class ECDH {
  #curve;
  #scalar = null;
  #point = null;
  constructor(curve) {
    requireString(curve, 'curve');
    if (/^p-/i.test(curve)) throw coded(TypeError, 'ERR_CRYPTO_INVALID_CURVE', 'Invalid EC curve name');
    ask('curve', curve);
    this.#curve = curve;
  }
  generateKeys(encoding, format) {
    [this.#scalar, this.#point] = fields(ask('new', this.#curve));
    return this.getPublicKey(encoding, format);
  }
  getPublicKey(encoding, format) {
    const form = formatOf(format);
    if (this.#point === null) throw failed('Failed to get ECDH public key');
    return shown(ask('convert', this.#curve, EMPTY, this.#point, form), encoding);
  }
  getPrivateKey(encoding) {
    if (this.#scalar === null) throw failed('Failed to get ECDH private key');
    return shown(Buffer.from(this.#scalar), encoding);
  }
  setPrivateKey(key, encoding) {
    const scalar = sourceBytes(key, 'key', encoding);
    this.#point = ask('public', this.#curve, scalar);
    this.#scalar = scalar;
    return this;
  }
  setPublicKey(key, encoding) {
    this.#point = ask('convert', this.#curve, EMPTY, sourceBytes(key, 'key', encoding), 'uncompressed');
    return this;
  }
  computeSecret(key, inputEncoding, outputEncoding) {
    const point = sourceBytes(key, 'key', inputEncoding);
    if (this.#scalar === null) throw coded(RangeError, 'ERR_CRYPTO_INVALID_KEYPAIR', 'Invalid key pair');
    return shown(ask('secret', this.#curve, this.#scalar, point), outputEncoding);
  }
  static convertKey(key, curve, inputEncoding, outputEncoding, format) {
    requireString(curve, 'curve');
    const point = sourceBytes(key, 'key', inputEncoding);
    return shown(ask('convert', curve, EMPTY, point, formatOf(format)), outputEncoding);
  }
}

named({ ECDH });

export { ECDH };
export const createECDH = (curve) => new ECDH(curve);

const AGREEING = ['ec', 'x25519', 'x448'];

function requireAgreeing(own, other) {
  if (own.type === other.type && AGREEING.includes(own.type)) return;
  throw coded(Error, 'ERR_CRYPTO_INCOMPATIBLE_KEY', `Incompatible key types for Diffie-Hellman: ${own.type} and ${other.type}`);
}

export const agreed = (own, other) => call(AGREE, json({ kind: other.kind }), own.bytes, other.bytes);

export function diffieHellman(options, callback) {
  requireObject(options, 'options');
  if (callback !== undefined) requireFunction(callback, 'callback');
  const { privateKey, publicKey } = options;
  if (privateKey === undefined) throw invalidValue('options.privateKey', privateKey);
  if (publicKey === undefined) throw invalidValue('options.publicKey', publicKey);
  const [mine, theirs] = [handleOf(privateKey), handleOf(publicKey)];
  if (mine?.kind === 'private' && theirs !== null && theirs.kind !== 'secret') requireAgreeing(mine, theirs);
  const other = publicHandle(publicKey, 'options.publicKey');
  const own = privateHandle(privateKey, 'options.privateKey');
  requireAgreeing(own, other);
  if (callback === undefined) return agreed(own, other);
  callBack(callback, () => agreed(own, other));
  return undefined;
}
