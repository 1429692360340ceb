// CryptoKey, and what the methods of SubtleCrypto check before they work.
import { INSPECT, inspect } from '../inspect.js';
import { DOMException } from '../web/dom_exception.js';
import { named } from '../web/named.js';
import { coded, copied, isBytes } from './arguments.js';
import { setCryptoKeyHandle } from './keys.js';

const OURS = Symbol('ours');
const USAGES = ['encrypt', 'decrypt', 'sign', 'verify', 'deriveKey', 'deriveBits', 'wrapKey', 'unwrapKey'];

export const refused = (message, name) => new DOMException(message, name);
export const operationFailed = () => refused('The operation failed for an operation-specific reason', 'OperationError');

// What goes wrong in the host is told without a reason.
export function attempted(work, failure = operationFailed) {
  try {
    return work();
  } catch {
    throw failure();
  }
}

let slotsOf;

class CryptoKey {
  #slots;
  constructor(token, handle, algorithm, usages, extractable) {
    if (token !== OURS) throw coded(TypeError, 'ERR_ILLEGAL_CONSTRUCTOR', 'Illegal constructor');
    this.#slots = Object.freeze({ handle, algorithm: Object.freeze(algorithm), usages: USAGES.filter((usage) => usages.includes(usage)), extractable });
  }
  get type() {
    return this.#slots.handle.kind;
  }
  get extractable() {
    return this.#slots.extractable;
  }
  get algorithm() {
    return clonedAlgorithm(this.#slots.algorithm);
  }
  get usages() {
    return [...this.#slots.usages];
  }
  [INSPECT](depth, options) {
    const { type, extractable, algorithm, usages } = this;
    return `CryptoKey ${inspect({ type, extractable, algorithm, usages }, { ...options, depth: options.depth === null ? null : options.depth - 1 })}`;
  }
  static {
    slotsOf = (key) => (key !== null && typeof key === 'object' && #slots in key ? key.#slots : null);
  }
}
named({ CryptoKey });
Object.defineProperty(CryptoKey.prototype, Symbol.toStringTag, { value: 'CryptoKey', configurable: true });
for (const name of ['type', 'extractable', 'algorithm', 'usages']) Object.defineProperty(CryptoKey.prototype, name, { enumerable: true });
setCryptoKeyHandle((key) => slotsOf(key)?.handle ?? null);

function clonedAlgorithm(algorithm) {
  const clone = { ...algorithm };
  if (clone.hash) clone.hash = { ...clone.hash };
  if (clone.publicExponent) clone.publicExponent = new Uint8Array(clone.publicExponent);
  return clone;
}

export const cryptoKey = (handle, algorithm, usages, extractable) => new CryptoKey(OURS, handle, algorithm, usages, extractable);

export function slots(key, method, position) {
  const found = slotsOf(key);
  if (found !== null) return found;
  throw coded(TypeError, 'ERR_INVALID_ARG_TYPE', `Failed to execute '${method}' on 'SubtleCrypto': ${position} argument is not of type CryptoKey.`);
}

// The slots of a key that may be used so.
export function usable(key, name, usage, method, position = '2nd') {
  const found = slots(key, method, position);
  if (found.algorithm.name !== name) throw refused('Key algorithm mismatch', 'InvalidAccessError');
  if (!found.usages.includes(usage)) throw refused(unusable(usage), 'InvalidAccessError');
  return found;
}

const unusable = (usage) => (usage.startsWith('derive') ? `baseKey does not have ${usage} usage` : `Unable to use this key to ${usage}`);

export function requireKind(found, kind) {
  if (found.handle.kind !== kind) throw refused(`Key must be a ${kind} key`, 'InvalidAccessError');
}

export function requireArguments(method, given, needed) {
  if (given >= needed) return;
  const counted = `${needed} argument${needed === 1 ? '' : 's'} required, but only ${given} present.`;
  throw coded(TypeError, 'ERR_MISSING_ARGS', `Failed to execute '${method}' on 'SubtleCrypto': ${counted}`);
}

export function source(value, method, position) {
  if (isBytes(value)) return copied(value);
  const message = `Failed to execute '${method}' on 'SubtleCrypto': ${position} is not instance of ArrayBuffer, Buffer, TypedArray, or DataView.`;
  throw coded(TypeError, 'ERR_INVALID_ARG_TYPE', message);
}

// ---- algorithms ----------------------------------------------------------------------------------------------------

const DIGESTS = { __proto__: null, 'SHA-1': 'sha1', 'SHA-256': 'sha256', 'SHA-384': 'sha384', 'SHA-512': 'sha512', 'SHA3-256': 'sha3_256', 'SHA3-384': 'sha3_384', 'SHA3-512': 'sha3_512' };
const RSA_SIGNING = ['RSASSA-PKCS1-v1_5', 'RSA-PSS'];
const AES = ['AES-CBC', 'AES-CTR', 'AES-GCM', 'AES-KW'];
const DERIVING = ['HKDF', 'PBKDF2'];
const ASYMMETRIC = [...RSA_SIGNING, 'RSA-OAEP', 'ECDSA', 'ECDH', 'Ed25519', 'X25519'];

// Which algorithms each operation knows.
const OPERATIONS = {
  __proto__: null,
  digest: Object.keys(DIGESTS),
  generateKey: [...ASYMMETRIC, ...AES, 'HMAC'],
  importKey: [...ASYMMETRIC, ...AES, ...DERIVING, 'HMAC'],
  sign: [...RSA_SIGNING, 'ECDSA', 'Ed25519', 'HMAC'],
  encrypt: ['RSA-OAEP', 'AES-CBC', 'AES-CTR', 'AES-GCM'],
  deriveBits: ['ECDH', 'X25519', ...DERIVING],
  wrapKey: ['AES-KW'],
};

const NAME_MISSING = "Failed to normalize algorithm: passed algorithm cannot be converted to 'Algorithm' because 'name' is required in 'Algorithm'.";

// The algorithm's own name, and what was given with it.
export function normalized(algorithm, operation) {
  const given = typeof algorithm === 'string' ? { name: algorithm } : algorithm;
  if (given === null || (typeof given !== 'object' && typeof given !== 'function')) throw refused('Unrecognized algorithm name', 'NotSupportedError');
  const { name: asked } = given;
  if (asked === undefined) throw coded(TypeError, 'ERR_MISSING_OPTION', NAME_MISSING);
  const wanted = `${asked}`.toUpperCase();
  const name = OPERATIONS[operation].find((known) => known.toUpperCase() === wanted);
  if (name === undefined) throw refused('Unrecognized algorithm name', 'NotSupportedError');
  return { name, given };
}

export const hashOf = (given) => ({ name: normalized(given.hash, 'digest').name });
export const digestNamed = (name) => DIGESTS[name];

// ---- usages --------------------------------------------------------------------------------------------------------

export function usagesAmong(usages, allowed, subject) {
  const found = [...usages].map((usage) => `${usage}`);
  for (const usage of found) {
    if (!USAGES.includes(usage)) {
      throw coded(TypeError, 'ERR_INVALID_ARG_VALUE', `Usages contains invalid value '${usage}'`);
    }
  }
  if (found.some((usage) => !allowed.includes(usage))) throw refused(`Unsupported key usage for ${subject} key`, 'SyntaxError');
  return found;
}
