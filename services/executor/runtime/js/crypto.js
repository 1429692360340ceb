// Node's `crypto`. Each part is evaluated when something of it is first touched.
import { load } from './modules.js';

const { defineProperty } = Object;

const MEMBERS = {
  agreement: ['createECDH', 'diffieHellman', 'ECDH'],
  ciphers: ['createCipheriv', 'createDecipheriv', 'getCipherInfo', 'Cipheriv', 'Decipheriv'],
  derivation: ['hkdf', 'hkdfSync', 'pbkdf2', 'pbkdf2Sync', 'scrypt', 'scryptSync'],
  digests: ['createHash', 'createHmac', 'hash', 'Hash', 'Hmac'],
  encryption: ['privateDecrypt', 'privateEncrypt', 'publicDecrypt', 'publicEncrypt'],
  key_pairs: ['generateKeyPair', 'generateKeyPairSync', 'generateKey', 'generateKeySync'],
  keys: ['createPrivateKey', 'createPublicKey', 'createSecretKey', 'KeyObject'],
  random: ['getRandomValues', 'randomBytes', 'randomFill', 'randomFillSync', 'randomInt', 'randomUUID', 'randomUUIDv7', 'timingSafeEqual'],
  signatures: ['createSign', 'createVerify', 'sign', 'verify', 'Sign', 'Verify'],
  subtle: ['webcrypto', 'subtle'],
  tables: ['constants'],
};

const tables = () => load('crypto/tables.js');

export const crypto = {
  getCiphers: () => [...tables().CIPHERS],
  getCurves: () => [...tables().CURVES],
  getHashes: () => [...tables().HASHES],
  getFips: () => 0,
};

function putLazily(name, find) {
  const put = (value) => defineProperty(crypto, name, { value, writable: true, enumerable: true, configurable: true });
  const get = () => {
    const value = find();
    put(value);
    return value;
  };
  defineProperty(crypto, name, { get, set: put, enumerable: true, configurable: true });
}

for (const part of Object.keys(MEMBERS)) {
  for (const name of MEMBERS[part]) putLazily(name, () => load(`crypto/${part}.js`)[name]);
}

// For packages that are bundled here: whatever user code does to its global, these stay.
const late = (part, name) => (...args) => load(`crypto/${part}.js`)[name](...args);
export const createHash = late('digests', 'createHash');
export const createHmac = late('digests', 'createHmac');
export const createSign = late('signatures', 'createSign');
export const createVerify = late('signatures', 'createVerify');
export const createPrivateKey = late('keys', 'createPrivateKey');
export const createPublicKey = late('keys', 'createPublicKey');
export const createSecretKey = late('keys', 'createSecretKey');
export const randomBytes = late('random', 'randomBytes');
export const randomUUID = late('random', 'randomUUID');
export const timingSafeEqual = late('random', 'timingSafeEqual');
