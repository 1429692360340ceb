// generateKey, importKey and exportKey.
import { copied, isBytes } from './arguments.js';
import { call, json, KEY_EXPORT, KEY_IMPORT, EMPTY, number, RANDOM } from './calls.js';
import { attempted, cryptoKey, hashOf, normalized, refused, slots, usagesAmong } from './crypto_key.js';
import { generateHandles } from './key_pairs.js';
import { described, Handle } from './keys.js';

const CURVES = { __proto__: null, 'P-256': 'prime256v1', 'P-384': 'secp384r1', 'P-521': 'secp521r1' };
const BLOCK_BITS = { __proto__: null, 'SHA-1': 512, 'SHA-256': 512, 'SHA-384': 1024, 'SHA-512': 1024, 'SHA3-256': 1088, 'SHA3-384': 832, 'SHA3-512': 576 };
const AES_BITS = [128, 192, 256];

const SIGNING = { public: ['verify'], private: ['sign'] };
const AGREEING = { public: [], private: ['deriveKey', 'deriveBits'] };
const PAIR_USAGES = {
  __proto__: null,
  'RSASSA-PKCS1-v1_5': SIGNING,
  'RSA-PSS': SIGNING,
  'RSA-OAEP': { public: ['encrypt', 'wrapKey'], private: ['decrypt', 'unwrapKey'] },
  ECDSA: SIGNING,
  ECDH: AGREEING,
  Ed25519: SIGNING,
  X25519: AGREEING,
};
const CIPHERING = ['encrypt', 'decrypt', 'wrapKey', 'unwrapKey'];
const SECRET_USAGES = {
  __proto__: null,
  'AES-CBC': CIPHERING,
  'AES-CTR': CIPHERING,
  'AES-GCM': CIPHERING,
  'AES-KW': ['wrapKey', 'unwrapKey'],
  HMAC: ['sign', 'verify'],
  HKDF: ['deriveKey', 'deriveBits'],
  PBKDF2: ['deriveKey', 'deriveBits'],
};
const TYPES = { __proto__: null, ECDSA: 'ec', ECDH: 'ec', Ed25519: 'ed25519', X25519: 'x25519' };
const typeOf = (name) => TYPES[name] ?? 'rsa';

const invalidData = () => refused('Invalid keyData', 'DataError');
const emptyUsages = (kind) => refused(`Usages cannot be empty when importing a ${kind} key.`, 'SyntaxError');

function exponentBytes(details) {
  const hex = BigInt(details.publicExponent).toString(16);
  return Uint8Array.from(Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex'));
}

// What CryptoKey.algorithm says of an asymmetric key.
function algorithmOf(name, handle, { hash, namedCurve }) {
  if (typeOf(name) === 'rsa') return { name, modulusLength: handle.details.modulusLength, publicExponent: exponentBytes(handle.details), hash };
  return namedCurve === undefined ? { name } : { name, namedCurve };
}

function curveOf(given) {
  const namedCurve = `${given.namedCurve}`;
  if (CURVES[namedCurve] === undefined) throw refused('Unrecognized namedCurve', 'NotSupportedError');
  return namedCurve;
}

const parametersOf = (name, given) => (typeOf(name) === 'rsa' ? { hash: hashOf(given) } : typeOf(name) === 'ec' ? { namedCurve: curveOf(given) } : {});

// ---- new keys ------------------------------------------------------------------------------------------------------

function wantedKey(name, given, parameters) {
  if (typeOf(name) !== 'rsa') return { type: typeOf(name), namedCurve: parameters.namedCurve };
  const exponent = [...copied(given.publicExponent)].reduce((sum, byte) => sum * 256 + byte, 0);
  return { type: 'rsa', modulusLength: Number(given.modulusLength), publicExponent: exponent };
}

function generatedPair(name, given, extractable, usages) {
  const allowed = PAIR_USAGES[name];
  const found = usagesAmong(usages, [...allowed.public, ...allowed.private], name);
  const parameters = parametersOf(name, given);
  if (!found.some((usage) => allowed.private.includes(usage))) throw refused('Usages cannot be empty when creating a key.', 'SyntaxError');
  const [publicHandle, privateHandle] = attempted(() => generateHandles(wantedKey(name, given, parameters)));
  const made = (handle, kind, mayLeave) => {
    return cryptoKey(handle, algorithmOf(name, handle, parameters), found.filter((usage) => allowed[kind].includes(usage)), mayLeave);
  };
  return { publicKey: made(publicHandle, 'public', true), privateKey: made(privateHandle, 'private', extractable) };
}

export function lengthInBits(name, given) {
  if (name !== 'HMAC') {
    const length = Number(given.length);
    if (!AES_BITS.includes(length)) throw refused('Invalid key length', 'OperationError');
    return length;
  }
  if (given.length === undefined) return BLOCK_BITS[hashOf(given).name];
  const length = Number(given.length);
  if (!(length > 0)) throw refused('Invalid key length', 'OperationError');
  return length;
}

const secretAlgorithm = (name, given, length) => (name === 'HMAC' ? { name, length, hash: hashOf(given) } : { name, length });

export function generateKey(algorithm, extractable, usages) {
  const { name, given } = normalized(algorithm, 'generateKey');
  if (name in PAIR_USAGES) return generatedPair(name, given, !!extractable, usages);
  const found = usagesAmong(usages, SECRET_USAGES[name], name);
  if (!found.length) throw refused('Usages cannot be empty when creating a key.', 'SyntaxError');
  const length = lengthInBits(name, given);
  const handle = new Handle('secret', new Uint8Array(call(RANDOM, number(Math.ceil(length / 8)))));
  return cryptoKey(handle, secretAlgorithm(name, given, length), found, !!extractable);
}

// ---- keys that come in -----------------------------------------------------------------------------------------------

const IMPORTS = {
  spki: { kind: 'public', format: 'der', type: 'spki' },
  pkcs8: { kind: 'private', format: 'der', type: 'pkcs8' },
};

function requireMembers(jwk, kty, extractable, usages, use) {
  if (typeof jwk.kty !== 'string') throw invalidData();
  if (jwk.kty !== kty) throw refused('Invalid JWK "kty" Parameter', 'DataError');
  if (usages.length && jwk.use !== undefined && jwk.use !== use) throw refused('Invalid JWK "use" Parameter', 'DataError');
  if (Array.isArray(jwk.key_ops) && usages.some((usage) => !jwk.key_ops.includes(usage))) throw refused('Key operations and usage mismatch', 'DataError');
  if (jwk.ext === false && extractable) throw refused('JWK "ext" Parameter and extractable mismatch', 'DataError');
}

function requireAlg(jwk, expected) {
  if (jwk.alg !== undefined && expected !== undefined && jwk.alg !== expected) throw refused('JWK "alg" does not match the requested algorithm', 'DataError');
}

const hashSuffix = (hash) => (hash.name === 'SHA-1' ? '1' : hash.name.slice(4));

function algOf(name, { hash }, bits) {
  if (name === 'RSASSA-PKCS1-v1_5') return `RS${hashSuffix(hash)}`;
  if (name === 'RSA-PSS') return `PS${hashSuffix(hash)}`;
  if (name === 'RSA-OAEP') return hash.name === 'SHA-1' ? 'RSA-OAEP' : `RSA-OAEP-${hashSuffix(hash)}`;
  if (name === 'HMAC') return `HS${hashSuffix(hash)}`;
  if (name.startsWith('AES-')) return `A${bits}${name.slice(4)}`;
  return undefined;
}

const KTY = { rsa: 'RSA', ec: 'EC', ed25519: 'OKP', x25519: 'OKP' };
const MEMBERS = ['kty', 'crv', 'n', 'e', 'd', 'p', 'q', 'dp', 'dq', 'qi', 'x', 'y'];

function importedJwk(name, jwk, parameters, extractable, usages) {
  const type = typeOf(name);
  const use = ['RSA-OAEP', 'ECDH', 'X25519'].includes(name) ? 'enc' : 'sig';
  requireMembers(jwk, KTY[type], extractable, usages, use);
  requireAlg(jwk, algOf(name, parameters));
  const crv = parameters.namedCurve ?? (type === 'rsa' ? undefined : name);
  if (jwk.crv !== crv && crv !== undefined) {
    throw refused(type === 'ec' ? 'JWK "crv" does not match the requested algorithm' : 'JWK "crv" Parameter and algorithm name mismatch', 'DataError');
  }
  const text = json(Object.fromEntries(MEMBERS.filter((member) => jwk[member] !== undefined).map((member) => [member, `${jwk[member]}`])));
  const kind = jwk.d === undefined ? 'public' : 'private';
  return attempted(() => described(call(KEY_IMPORT, json({ kind, format: 'jwk' }), text, EMPTY)), invalidData);
}

function importedHandle(name, format, data, parameters, extractable, usages) {
  if (format === 'jwk') return importedJwk(name, data, parameters, extractable, usages);
  const isRaw = format === 'raw' || format === 'raw-public';
  if (isRaw ? typeOf(name) === 'rsa' : IMPORTS[format] === undefined) throw refused(`Unable to import ${name} using ${format} format`, 'NotSupportedError');
  const raw = { kind: 'public', format: 'raw-public', asymmetricKeyType: typeOf(name), namedCurve: CURVES[parameters.namedCurve] };
  const handle = attempted(() => described(call(KEY_IMPORT, json(isRaw ? raw : IMPORTS[format]), copied(data), EMPTY)), invalidData);
  if (handle.type !== typeOf(name)) throw refused('Invalid key type', 'DataError');
  if (parameters.namedCurve !== undefined && handle.details.namedCurve !== CURVES[parameters.namedCurve]) throw refused('Named curve mismatch', 'DataError');
  return handle;
}

function importedPair(name, format, data, given, extractable, usages) {
  const parameters = parametersOf(name, given);
  const kind = format === 'pkcs8' || (format === 'jwk' && data.d !== undefined) ? 'private' : 'public';
  const found = usagesAmong(usages, PAIR_USAGES[name][kind], name);
  const handle = importedHandle(name, format, data, parameters, extractable, found);
  if (kind === 'private' && !found.length) throw emptyUsages(kind);
  return cryptoKey(handle, algorithmOf(name, handle, parameters), found, extractable);
}

function secretData(name, format, data, given, extractable, usages) {
  if (format === 'raw' || format === 'raw-secret') return copied(data);
  if (format !== 'jwk' || SECRET_USAGES[name] === SECRET_USAGES.HKDF) throw refused(`Unable to import ${name} using ${format} format`, 'NotSupportedError');
  requireMembers(data, 'oct', extractable, usages, name === 'HMAC' ? 'sig' : 'enc');
  if (typeof data.k !== 'string') throw invalidData();
  const bytes = Uint8Array.from(Buffer.from(data.k, 'base64url'));
  requireAlg(data, algOf(name, name === 'HMAC' ? { hash: hashOf(given) } : {}, bytes.length * 8));
  return bytes;
}

function importedSecret(name, format, data, given, extractable, usages) {
  const deriving = name === 'HKDF' || name === 'PBKDF2';
  if (deriving && extractable) throw refused(`${name} keys are not extractable`, 'SyntaxError');
  const found = usagesAmong(usages, SECRET_USAGES[name], deriving ? `a ${name}` : name);
  const bytes = secretData(name, format, data, given, extractable, found);
  const handle = new Handle('secret', bytes);
  const bits = bytes.length * 8;
  if (name.startsWith('AES-') && !AES_BITS.includes(bits)) throw refused('Invalid key length', 'DataError');
  if (name === 'HMAC' && !bits) throw refused('Zero-length key is not supported', 'DataError');
  if (name === 'HMAC' && given.length !== undefined && Math.ceil(given.length / 8) !== bytes.length) throw refused('Invalid key length', 'DataError');
  if (!found.length) throw emptyUsages('secret');
  return cryptoKey(handle, deriving ? { name } : secretAlgorithm(name, given, given.length ?? bits), found, extractable);
}

export function importKey(format, data, algorithm, extractable, usages) {
  const { name, given } = normalized(algorithm, 'importKey');
  if (format === 'jwk' ? data === null || typeof data !== 'object' || isBytes(data) : !isBytes(data)) {
    throw new TypeError(format === 'jwk' ? 'Key data must be an object for JWK import' : 'Key data must be a BufferSource for non-JWK formats');
  }
  const importing = name in PAIR_USAGES ? importedPair : importedSecret;
  return importing(name, format, data, given, !!extractable, usages);
}

// ---- keys that go out ------------------------------------------------------------------------------------------------

const buffered = (bytes) => Uint8Array.from(bytes).buffer;

function exportedJwk({ handle, algorithm, usages, extractable }) {
  const rest = { key_ops: [...usages], ext: extractable };
  const alg = algorithm.name === 'Ed25519' ? 'Ed25519' : algOf(algorithm.name, algorithm, algorithm.length);
  if (alg !== undefined) rest.alg = alg;
  if (handle.kind === 'secret') return { ...rest, kty: 'oct', k: Buffer.from(handle.bytes).toString('base64url') };
  const written = call(KEY_EXPORT, json({ kind: handle.kind, format: 'jwk' }), handle.bytes, EMPTY);
  return { ...rest, ...JSON.parse(written.toString()) };
}

export function exportKey(format, key) {
  const found = slots(key, 'exportKey', '2nd');
  const { handle, algorithm, extractable } = found;
  if (algorithm.name === 'HKDF' || algorithm.name === 'PBKDF2') throw refused(`${algorithm.name} key export is not supported`, 'NotSupportedError');
  if (!extractable) throw refused('key is not extractable', 'InvalidAccessError');
  if (format === 'jwk') return exportedJwk(found);
  if ((format === 'spki' && handle.kind === 'public') || (format === 'pkcs8' && handle.kind === 'private')) return buffered(handle.bytes);
  if (handle.kind === 'secret' && (format === 'raw' || format === 'raw-secret')) return buffered(handle.bytes);
  if (handle.kind === 'public' && handle.type !== 'rsa' && (format === 'raw' || format === 'raw-public')) {
    return buffered(call(KEY_EXPORT, json({ kind: 'public', format: 'raw-public' }), handle.bytes, EMPTY));
  }
  throw refused(`Unable to export ${algorithm.name} ${handle.kind} key using ${format} format`, 'NotSupportedError');
}
