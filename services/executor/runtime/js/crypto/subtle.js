// crypto.webcrypto and crypto.subtle. Each method's work is done when it is called; its promise is settled by then.
import { coded } from './arguments.js';
import { agreed } from './agreement.js';
import { call, CIPHER_FINAL, CIPHER_OPEN, CIPHER_UPDATE, EMPTY, HASH, HKDF, HMAC, json, number, PBKDF2, RSA_CRYPT, SIGN, VERIFY } from './calls.js';
import { attempted, digestNamed, hashOf, normalized, operationFailed, refused, requireArguments, requireKind, slots, source, usable } from './crypto_key.js';
import { getRandomValues, randomUUID, timingSafeEqual } from './random.js';
import { exportKey, generateKey, importKey, lengthInBits } from './subtle_keys.js';

const PKCS1 = 1;
const OAEP = 4;
const PSS = 6;
const TAG_BITS = [32, 64, 96, 104, 112, 120, 128];

const buffered = (bytes) => Uint8Array.from(bytes).buffer;

// ---- signatures ----------------------------------------------------------------------------------------------------

function schemeOf(name, given, algorithm) {
  if (name === 'Ed25519') return { hash: null };
  if (name === 'ECDSA') return { hash: digestNamed(hashOf(given).name), dsaEncoding: 'ieee-p1363' };
  const hash = digestNamed(algorithm.hash.name);
  return name === 'RSA-PSS' ? { hash, padding: PSS, saltLength: Number(given.saltLength) } : { hash, padding: PKCS1 };
}

const mac = ({ handle, algorithm }, data) => call(HMAC, Buffer.from(digestNamed(algorithm.hash.name)), handle.bytes, data);

function sign(algorithm, key, data) {
  const { name, given } = normalized(algorithm, 'sign');
  const bytes = source(data, 'sign', '3rd argument');
  const found = usable(key, name, 'sign', 'sign');
  if (name === 'HMAC') return buffered(mac(found, bytes));
  requireKind(found, 'private');
  const scheme = schemeOf(name, given, found.algorithm);
  return attempted(() => buffered(call(SIGN, json(scheme), found.handle.bytes, bytes)));
}

function verify(algorithm, key, signature, data) {
  const { name, given } = normalized(algorithm, 'sign');
  const [expected, bytes] = [source(signature, 'verify', '3rd argument'), source(data, 'verify', '4th argument')];
  const found = usable(key, name, 'verify', 'verify');
  if (name === 'HMAC') {
    const real = mac(found, bytes);
    return real.length === expected.length && timingSafeEqual(real, expected);
  }
  requireKind(found, 'public');
  const scheme = { ...schemeOf(name, given, found.algorithm), kind: 'public' };
  try {
    return call(VERIFY, json(scheme), found.handle.bytes, bytes, expected)[0] === 1;
  } catch {
    return false;
  }
}

// ---- ciphers -------------------------------------------------------------------------------------------------------

function ciphered(mode, encrypts, key, iv, additional, data, tag) {
  const context = call(CIPHER_OPEN, json({ algorithm: 'aes', mode, encrypts }), key, iv, additional);
  const body = call(CIPHER_UPDATE, context, number(1), data);
  return Buffer.concat([body, call(CIPHER_FINAL, context, number(1), tag)]);
}

function requireIv(iv, name, bytes = undefined) {
  const found = source(iv, 'encrypt', `algorithm.${name}`);
  if (bytes !== undefined && found.length !== bytes) throw refused(`algorithm.${name} must contain exactly ${bytes} bytes`, 'OperationError');
  return found;
}

function aesGcm(given, encrypts, key, data) {
  const iv = requireIv(given.iv, 'iv');
  const additional = given.additionalData === undefined ? EMPTY : source(given.additionalData, 'encrypt', 'algorithm.additionalData');
  const tagBits = given.tagLength ?? 128;
  if (!TAG_BITS.includes(tagBits)) throw refused(`${tagBits} is not a valid AES-GCM tag length`, 'OperationError');
  const tagBytes = tagBits / 8;
  if (encrypts) {
    const all = ciphered('gcm', true, key, iv, additional, data, EMPTY);
    return all.subarray(0, all.length - 16 + tagBytes);
  }
  if (data.length < tagBytes) throw refused('The provided data is too small.', 'OperationError');
  const end = data.length - tagBytes;
  return attempted(() => ciphered('gcm', false, key, iv, additional, data.subarray(0, end), data.subarray(end)));
}

function aes(name, given, encrypts, key, data) {
  if (name === 'AES-GCM') return aesGcm(given, encrypts, key, data);
  const iv = name === 'AES-CBC' ? requireIv(given.iv, 'iv', 16) : requireIv(given.counter, 'counter', 16);
  if (name === 'AES-CTR' && !(given.length > 0 && given.length <= 128)) throw refused('AES-CTR algorithm.length must be between 1 and 128', 'OperationError');
  return attempted(() => ciphered(name === 'AES-CBC' ? 'cbc' : 'ctr', encrypts, key, iv, EMPTY, data, EMPTY));
}

function oaep({ handle, algorithm }, given, encrypts, data) {
  if (handle.kind !== (encrypts ? 'public' : 'private')) throw refused('The requested operation is not valid for the provided key', 'InvalidAccessError');
  const label = given.label === undefined ? EMPTY : source(given.label, 'encrypt', 'algorithm.label');
  const method = encrypts ? 'publicEncrypt' : 'privateDecrypt';
  const options = { method, kind: handle.kind, padding: OAEP, hash: digestNamed(algorithm.hash.name) };
  return attempted(() => call(RSA_CRYPT, json(options), handle.bytes, data, label));
}

// For `encrypt` and `decrypt`, and for what wraps with them.
function crypted(algorithm, key, bytes, encrypts, usage) {
  const { name, given } = normalized(algorithm, 'encrypt');
  const found = usable(key, name, usage, usage);
  return name === 'RSA-OAEP' ? oaep(found, given, encrypts, bytes) : aes(name, given, encrypts, found.handle.bytes, bytes);
}

// ---- derivation ----------------------------------------------------------------------------------------------------

function requireLength(length) {
  if (length === null || length === undefined) throw refused('length cannot be null', 'OperationError');
  if (length % 8) throw refused('length must be a multiple of 8', 'OperationError');
}

function fromSecret(name, given, { handle }, length) {
  const hash = digestNamed(hashOf(given).name);
  const salt = source(given.salt, 'deriveBits', 'algorithm.salt');
  requireLength(length);
  const bytes = length / 8;
  if (name === 'HKDF') {
    const info = source(given.info, 'deriveBits', 'algorithm.info');
    return bytes ? attempted(() => call(HKDF, json({ hash, length: bytes }), handle.bytes, salt, info)) : EMPTY;
  }
  const iterations = Number(given.iterations);
  if (!(iterations > 0)) throw operationFailed();
  return bytes ? attempted(() => call(PBKDF2, json({ hash, iterations, length: bytes }), handle.bytes, salt)) : EMPTY;
}

function fromAgreement(given, own, length) {
  const other = slots(given.public, 'deriveBits', 'algorithm.public');
  if (own.handle.kind !== 'private') throw refused('baseKey must be a private key', 'InvalidAccessError');
  if (other.handle.kind !== 'public') throw refused('algorithm.public must be a public key', 'InvalidAccessError');
  if (other.algorithm.name !== own.algorithm.name) throw refused('The public and private keys must be of the same type', 'InvalidAccessError');
  if (other.algorithm.namedCurve !== own.algorithm.namedCurve) throw refused('Named curve mismatch', 'InvalidAccessError');
  const secret = attempted(() => agreed(own.handle, other.handle));
  if (length === null || length === undefined) return secret;
  const bytes = Math.ceil(length / 8);
  if (secret.length < bytes) throw refused('derived bit length is too small', 'OperationError');
  const cut = Uint8Array.from(secret.subarray(0, bytes));
  if (length % 8) cut[bytes - 1] &= 0xff << (8 - (length % 8));
  return cut;
}

function derived(algorithm, key, length, usage) {
  const { name, given } = normalized(algorithm, 'deriveBits');
  const found = usable(key, name, usage, usage);
  return name === 'HKDF' || name === 'PBKDF2' ? fromSecret(name, given, found, length) : fromAgreement(given, found, length);
}

function deriveKey(algorithm, key, derivedAlgorithm, extractable, usages) {
  const { name, given } = normalized(derivedAlgorithm, 'importKey');
  const deriving = name === 'HKDF' || name === 'PBKDF2';
  const length = deriving ? null : lengthInBits(name, given);
  return importKey('raw', derived(algorithm, key, length, 'deriveKey'), derivedAlgorithm, extractable, usages);
}

// ---- wrapping ------------------------------------------------------------------------------------------------------

function wrapKey(format, key, wrappingKey, algorithm) {
  const written = exportKey(format, key);
  const bytes = format === 'jwk' ? Buffer.from(JSON.stringify(written)) : new Uint8Array(written);
  return buffered(crypted(algorithm, wrappingKey, bytes, true, 'wrapKey'));
}

function parsedJwk(bytes) {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    throw refused('Invalid wrapped JWK key', 'DataError');
  }
}

function unwrapKey(format, wrapped, unwrappingKey, algorithm, keyAlgorithm, extractable, usages) {
  const bytes = crypted(algorithm, unwrappingKey, source(wrapped, 'unwrapKey', '2nd argument'), false, 'unwrapKey');
  return importKey(format, format === 'jwk' ? parsedJwk(bytes) : bytes, keyAlgorithm, extractable, usages);
}

function digest(algorithm, data) {
  const { name } = normalized(algorithm, 'digest');
  return buffered(call(HASH, Buffer.from(digestNamed(name)), number(0), source(data, 'digest', '2nd argument')));
}

// ---- the objects ---------------------------------------------------------------------------------------------------

const METHODS = {
  decrypt: [3, (algorithm, key, data) => buffered(crypted(algorithm, key, source(data, 'decrypt', '3rd argument'), false, 'decrypt'))],
  deriveBits: [2, (algorithm, key, length = null) => buffered(derived(algorithm, key, length, 'deriveBits'))],
  deriveKey: [5, deriveKey],
  digest: [2, digest],
  encrypt: [3, (algorithm, key, data) => buffered(crypted(algorithm, key, source(data, 'encrypt', '3rd argument'), true, 'encrypt'))],
  exportKey: [2, (format, key) => exportKey(`${format}`, key)],
  generateKey: [3, generateKey],
  importKey: [5, (format, ...rest) => importKey(`${format}`, ...rest)],
  sign: [3, sign],
  unwrapKey: [7, unwrapKey],
  verify: [4, verify],
  wrapKey: [4, wrapKey],
};

const OURS = Symbol('ours');

class SubtleCrypto {
  constructor(token) {
    if (token !== OURS) throw coded(TypeError, 'ERR_ILLEGAL_CONSTRUCTOR', 'Illegal constructor');
  }
}
for (const name of Object.keys(METHODS)) {
  const [needed, work] = METHODS[name];
  const method = {
    async [name](...args) {
      requireArguments(name, args.length, needed);
      return work(...args);
    },
  }[name];
  Object.defineProperty(method, 'length', { value: needed, configurable: true });
  Object.defineProperty(SubtleCrypto.prototype, name, { value: method, writable: true, enumerable: true, configurable: true });
}
Object.defineProperty(SubtleCrypto.prototype, Symbol.toStringTag, { value: 'SubtleCrypto', configurable: true });

export const subtle = new SubtleCrypto(OURS);

class Crypto {
  constructor(token) {
    if (token !== OURS) throw coded(TypeError, 'ERR_ILLEGAL_CONSTRUCTOR', 'Illegal constructor');
  }
  get subtle() {
    return subtle;
  }
  getRandomValues(array) {
    return getRandomValues(array);
  }
  randomUUID(options) {
    return randomUUID(options);
  }
}
Object.defineProperty(Crypto.prototype, Symbol.toStringTag, { value: 'Crypto', configurable: true });

export const webcrypto = new Crypto(OURS);
