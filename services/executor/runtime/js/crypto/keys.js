// KeyObject, and everything that is taken for a key. The host reads and writes asymmetric ones; here they are kept as DER.
import { BUFFERS, coded, invalidValue, isBytes, requireObject, requireOneOf, requireString, sourceBytes, wrongType } from './arguments.js';
import { named } from '../web/named.js';
import { call, EMPTY, fields, json, KEY_EXPORT, KEY_IMPORT } from './calls.js';
import { cipherOf } from './tables.js';

const OURS = Symbol('ours');
const KEYS = 'an instance of ArrayBuffer, Buffer, TypedArray, DataView, KeyObject, or CryptoKey';

// What both KeyObject and CryptoKey hold: kind is secret, public or private; bytes the secret, or DER.
export class Handle {
  constructor(kind, bytes, type, details) {
    this.kind = kind;
    this.bytes = bytes;
    this.type = type;
    this.details = details;
    Object.freeze(this);
  }
}

function detailsOf({ publicExponent, ...details }) {
  return publicExponent === undefined ? details : { ...details, publicExponent: BigInt(publicExponent) };
}

// What the host tells of a key it has read.
export function described(answer) {
  const [head, der] = fields(answer);
  const { kind, type, details } = JSON.parse(head.toString());
  return new Handle(kind, new Uint8Array(der), type, details);
}

let handleOfKeyObject;

class KeyObject {
  #handle;
  constructor(type, handle, token) {
    if (type !== 'secret' && type !== 'public' && type !== 'private') throw invalidValue('type', type);
    if (token !== OURS) throw wrongType('handle', 'of type object', handle);
    this.#handle = handle;
  }
  get type() {
    return ownHandle(this).kind;
  }
  static from(key) {
    const handle = cryptoKeyHandle(key);
    if (handle === null) throw wrongType('key', 'an instance of CryptoKey', key);
    return keyObject(handle);
  }
  equals(other) {
    const handle = handleOfKeyObject(other);
    if (handle === null) throw wrongType('otherKeyObject', 'an instance of KeyObject', other);
    const own = ownHandle(this);
    return handle.kind === own.kind && Buffer.compare(handle.bytes, own.bytes) === 0;
  }
  static {
    handleOfKeyObject = (key) => (key !== null && typeof key === 'object' && #handle in key ? key.#handle : null);
  }
}

function ownHandle(key) {
  const handle = handleOfKeyObject(key);
  if (handle === null) throw coded(TypeError, 'ERR_INVALID_THIS', 'Value of "this" must be of type KeyObject');
  return handle;
}
Object.defineProperty(KeyObject.prototype, Symbol.toStringTag, { value: 'KeyObject', configurable: true });

function formatOf(format, name) {
  if (!['pem', 'der', 'jwk', 'raw-public', 'raw-private', 'raw-seed'].includes(format)) throw invalidValue(name, format);
  return format;
}

const incompatible = (what, why) => coded(Error, 'ERR_CRYPTO_INCOMPATIBLE_KEY_OPTIONS', `The selected key encoding ${what} ${why}.`);

// `keyType` is undefined for what comes in, `isPublic` undefined where either will do.
function encodingTypeOf(type, keyType, isPublic, required, name) {
  if (type === undefined && !required) return undefined;
  if (type === 'pkcs1') {
    if (keyType !== undefined && keyType !== 'rsa') throw incompatible(type, 'can only be used for RSA keys');
    return type;
  }
  if (type === 'sec1' && isPublic !== true) {
    if (keyType !== undefined && keyType !== 'ec') throw incompatible(type, 'can only be used for EC keys');
    return type;
  }
  if ((type === 'spki' && isPublic !== false) || (type === 'pkcs8' && isPublic !== true)) return type;
  throw invalidValue(name, type);
}

const isStringOrBytes = (value) => typeof value === 'string' || isBytes(value);

// How a key is to be written: {format, type, encrypted, passphrase}.
export function outputEncoding(options, keyType, isPublic, prefix = 'options') {
  requireObject(options, 'options');
  const { format, type, cipher, passphrase, encoding } = options;
  formatOf(format, `${prefix}.format`);
  if (format === 'jwk') return { format };
  if (format.startsWith('raw-')) return rawEncoding(format, type, isPublic, prefix);
  const written = { format, type: encodingTypeOf(type, keyType, isPublic, true, `${prefix}.type`), encrypted: false, passphrase: EMPTY };
  if (isPublic) return written;
  if (cipher === undefined || cipher === null) {
    if (passphrase !== undefined) throw invalidValue(`${prefix}.cipher`, cipher);
    return written;
  }
  if (typeof cipher !== 'string') throw invalidValue(`${prefix}.cipher`, cipher);
  if (format === 'der' && (type === 'pkcs1' || type === 'sec1')) throw incompatible(type, 'does not support encryption');
  if (!isStringOrBytes(passphrase)) throw invalidValue(`${prefix}.passphrase`, passphrase);
  if (cipherOf(cipher) === undefined) throw coded(Error, 'ERR_CRYPTO_UNKNOWN_CIPHER', 'Unknown cipher');
  return { ...written, encrypted: true, passphrase: sourceBytes(passphrase, 'key.passphrase', encoding) };
}

function rawEncoding(format, type, isPublic, prefix) {
  if (isPublic !== (format === 'raw-public')) throw invalidValue(`${prefix}.format`, format);
  if (isPublic) requireOneOf(type ?? 'uncompressed', `${prefix}.type`, ['compressed', 'uncompressed']);
  else if (type !== undefined) throw invalidValue(`${prefix}.type`, type);
  return { format, type, encrypted: false, passphrase: EMPTY };
}

export function exported(handle, { format, type, encrypted = false, passphrase = EMPTY }) {
  const written = call(KEY_EXPORT, json({ kind: handle.kind, format, type, encrypted }), handle.bytes, passphrase);
  if (format === 'jwk') return JSON.parse(written.toString());
  return format === 'pem' ? written.toString() : written;
}

class SecretKeyObject extends KeyObject {
  get symmetricKeySize() {
    return ownHandle(this).bytes.length;
  }
  export(options) {
    const { bytes } = ownHandle(this);
    if (options !== undefined) {
      requireObject(options, 'options');
      const { format } = options;
      requireOneOf(format, 'options.format', [undefined, 'buffer', 'jwk']);
      if (format === 'jwk') return { kty: 'oct', k: Buffer.from(bytes).toString('base64url') };
    }
    return Buffer.from(bytes);
  }
}

class AsymmetricKeyObject extends KeyObject {
  get asymmetricKeyType() {
    return ownHandle(this).type;
  }
  get asymmetricKeyDetails() {
    return detailsOf(ownHandle(this).details);
  }
}

class PublicKeyObject extends AsymmetricKeyObject {
  export(options) {
    const handle = ownHandle(this);
    return exported(handle, outputEncoding(options, handle.type, true));
  }
}

class PrivateKeyObject extends AsymmetricKeyObject {
  export(options) {
    const handle = ownHandle(this);
    if (options?.passphrase !== undefined && options.format !== 'pem' && options.format !== 'der') {
      throw incompatible(options.format, 'does not support encryption');
    }
    return exported(handle, outputEncoding(options, handle.type, false));
  }
}

const CLASSES = { __proto__: null, secret: SecretKeyObject, public: PublicKeyObject, private: PrivateKeyObject };
export const keyObject = (handle) => new CLASSES[handle.kind](handle.kind, handle, OURS);

// ---- CryptoKey: its class is subtle's, which says here how to look into one ---------------------------------------

let cryptoKeyHandle = () => null;
export const setCryptoKeyHandle = (look) => {
  cryptoKeyHandle = look;
};
export const handleOf = (key) => handleOfKeyObject(key) ?? cryptoKeyHandle(key);

// ---- keys that come in -------------------------------------------------------------------------------------------

const wrongKind = (kind, expected) => coded(TypeError, 'ERR_CRYPTO_INVALID_KEY_OBJECT_TYPE', `Invalid key object type ${kind}, expected ${expected}.`);

// The bytes of a secret key.
export function secretBytes(key, name, encoding) {
  const handle = handleOf(key);
  if (handle !== null) {
    if (handle.kind !== 'secret') throw wrongKind(handle.kind, 'secret');
    return handle.bytes;
  }
  if (!isStringOrBytes(key)) throw wrongType(name, `of type string or ${KEYS}`, key);
  return sourceBytes(key, name, encoding);
}

export function createSecretKey(key, encoding) {
  if (!isStringOrBytes(key)) throw wrongType('key', BUFFERS, key);
  return keyObject(new Handle('secret', new Uint8Array(sourceBytes(key, 'key', encoding))));
}

// What is done with the key decides what may come.
const CONSUME_PUBLIC = { creates: false, kind: 'public' };
const CONSUME_PRIVATE = { creates: false, kind: 'private' };
const CREATE_PUBLIC = { creates: true, kind: 'public' };
const CREATE_PRIVATE = { creates: true, kind: 'private' };

function checked(handle, use, key) {
  if (use === CREATE_PRIVATE) throw wrongType('key', `of type string or ${BUFFERS}`, key);
  if (handle.kind !== 'private') {
    if (use === CONSUME_PRIVATE || use === CREATE_PUBLIC) throw wrongKind(handle.kind, 'private');
    if (handle.kind !== 'public') throw wrongKind(handle.kind, 'private or public');
  }
  if (use !== CREATE_PUBLIC) return handle;
  return described(call(KEY_IMPORT, json({ kind: 'public', format: 'der', type: 'pkcs8' }), handle.bytes, EMPTY));
}

const imported = (use, options, bytes, passphrase) =>
  described(call(KEY_IMPORT, json({ kind: use.kind, secret: passphrase !== undefined, ...options }), bytes, passphrase ?? EMPTY));

const JWK_MEMBERS = ['kty', 'crv', 'n', 'e', 'd', 'p', 'q', 'dp', 'dq', 'qi', 'x', 'y'];

function jwkOf(data) {
  const found = {};
  for (const name of JWK_MEMBERS) {
    const value = data[name];
    if (value !== undefined) found[name] = typeof value === 'string' ? value : null;
  }
  if (typeof found.kty !== 'string') throw coded(TypeError, 'ERR_CRYPTO_INVALID_JWK', 'Invalid JWK format');
  return json(found);
}

function importedRaw(use, key, data, format, name) {
  if (use.kind === 'private' && format === 'raw-public') throw invalidValue(`${name}.format`, format);
  if (!isBytes(data)) throw wrongType(`${name}.key`, BUFFERS, data);
  const { asymmetricKeyType, namedCurve } = key;
  requireString(asymmetricKeyType, `${name}.asymmetricKeyType`);
  if (asymmetricKeyType === 'ec') requireString(namedCurve, `${name}.namedCurve`);
  return imported(use, { format, asymmetricKeyType, namedCurve }, sourceBytes(data, `${name}.key`));
}

function importedEncoded(use, key, data, name) {
  const { format = 'pem', type, encoding, passphrase } = key;
  const isPublic = use.kind === 'private' ? false : undefined;
  formatOf(format, `${name}.format`);
  const known = encodingTypeOf(type, undefined, isPublic, format === 'der', `${name}.type`);
  if (passphrase !== undefined && !isStringOrBytes(passphrase)) throw invalidValue(`${name}.passphrase`, passphrase);
  const secret = passphrase === undefined ? undefined : sourceBytes(passphrase, 'key.passphrase', encoding);
  return imported(use, { format, type: known }, sourceBytes(data, `${name}.key`, encoding), secret);
}

const expectedFor = (use) => (use === CREATE_PRIVATE ? `of type string or ${BUFFERS}` : `of type string or ${KEYS}`);

function handleFor(use, key, name = 'key') {
  const own = handleOf(key);
  if (own !== null) return checked(own, use, key);
  if (isStringOrBytes(key)) return imported(use, { format: 'pem' }, sourceBytes(key, name));
  if (key === null) throw new TypeError("Cannot destructure property 'key' of 'key' as it is null.");
  if (typeof key !== 'object') throw wrongType(name, expectedFor(use), key);
  const { key: data, format } = key;
  const inner = handleOf(data);
  if (inner !== null) return checked(inner, use, data);
  if (format === 'jwk') {
    requireObject(data, `${name}.key`);
    return imported(use, { format }, jwkOf(data));
  }
  if (format === 'raw-public' || format === 'raw-private' || format === 'raw-seed') return importedRaw(use, key, data, format, name);
  if (!isStringOrBytes(data)) throw wrongType(`${name}.key`, expectedFor(use), data);
  return importedEncoded(use, key, data, name);
}

export const privateHandle = (key, name) => handleFor(CONSUME_PRIVATE, key, name);
export const publicHandle = (key, name) => handleFor(CONSUME_PUBLIC, key, name);
export const createPublicKey = (key) => keyObject(handleFor(CREATE_PUBLIC, key));
export const createPrivateKey = (key) => keyObject(handleFor(CREATE_PRIVATE, key));

named({ KeyObject, SecretKeyObject, PublicKeyObject, PrivateKeyObject });

export { KeyObject };
