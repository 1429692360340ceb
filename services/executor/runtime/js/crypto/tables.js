// Names of algorithms, as OpenSSL 3 and so Node has them.

const SHA2 = ['224', '256', '384', '512'];
const TRUNCATED = ['512/224', '512/256'];
const SHA3 = ['224', '256', '384', '512'];

const digests = { __proto__: null };
const add = (name, bytes, ...aliases) => {
  // `code` is what the host is given.
  const digest = { name, bytes, code: Uint8Array.from(name, (letter) => letter.charCodeAt(0)) };
  for (const alias of aliases) digests[alias] = digest;
};

// The first name is hashlib's.
add('md5', 16, 'md5', 'ssl3-md5', 'rsa-md5', 'md5withrsaencryption');
add('md5-sha1', 36, 'md5-sha1');
add('sha1', 20, 'sha1', 'sha-1', 'ssl3-sha1', 'rsa-sha1', 'rsa-sha1-2', 'sha1withrsaencryption');
add('ripemd160', 20, 'ripemd160', 'ripemd-160', 'ripemd', 'rmd160', 'rsa-ripemd160', 'ripemd160withrsa');
add('sm3', 32, 'sm3', 'rsa-sm3', 'sm3withrsaencryption');
add('blake2b', 64, 'blake2b512', 'blake2b-512');
add('blake2s', 32, 'blake2s256', 'blake2s-256');
for (const bits of SHA2) {
  add(`sha${bits}`, bits / 8, `sha${bits}`, `sha-${bits}`, `sha2-${bits}`, `rsa-sha${bits}`, `sha${bits}withrsaencryption`);
}
for (const pair of TRUNCATED) {
  const [whole, bits] = pair.split('/');
  const dashed = `sha${whole}-${bits}`;
  add(`sha${whole}_${bits}`, bits / 8, dashed, `sha-${pair}`, `sha2-${pair}`, `rsa-sha${pair}`, `${dashed}withrsaencryption`);
}
for (const bits of SHA3) {
  add(`sha3_${bits}`, bits / 8, `sha3-${bits}`, `rsa-sha3-${bits}`, `id-rsassa-pkcs1-v1_5-with-sha3-${bits}`);
}
// Extendable: `bytes` is what Node takes where no length is given.
for (const [bits, bytes] of [['128', 16], ['256', 32]]) {
  add(`shake_${bits}`, bytes, `shake${bits}`, `shake-${bits}`);
  digests[`shake${bits}`].extendable = true;
}

export const digestOf = (name) => digests[name.toLowerCase()];

export const HASHES =
  'RSA-MD5 RSA-RIPEMD160 RSA-SHA1 RSA-SHA1-2 RSA-SHA224 RSA-SHA256 RSA-SHA3-224 RSA-SHA3-256 RSA-SHA3-384 RSA-SHA3-512 RSA-SHA384 RSA-SHA512 RSA-SHA512/224 RSA-SHA512/256 RSA-SM3 blake2b512 blake2s256 id-rsassa-pkcs1-v1_5-with-sha3-224 id-rsassa-pkcs1-v1_5-with-sha3-256 id-rsassa-pkcs1-v1_5-with-sha3-384 id-rsassa-pkcs1-v1_5-with-sha3-512 md5 md5-sha1 md5WithRSAEncryption ripemd ripemd160 ripemd160WithRSA rmd160 sha1 sha1WithRSAEncryption sha224 sha224WithRSAEncryption sha256 sha256WithRSAEncryption sha3-224 sha3-256 sha3-384 sha3-512 sha384 sha384WithRSAEncryption sha512 sha512-224 sha512-224WithRSAEncryption sha512-256 sha512-256WithRSAEncryption sha512WithRSAEncryption shake128 shake256 sm3 sm3WithRSAEncryption ssl3-md5 ssl3-sha1'.split(
    ' ',
  );

const ciphers = { __proto__: null };
const order = [];
function cipher(name, nid, mode, keyBytes, ...aliases) {
  const block = mode === 'cbc' || mode === 'ecb';
  const triple = name.startsWith('des');
  const size = triple ? 8 : 16;
  const ivBytes = mode === 'ecb' ? 0 : mode === 'gcm' ? 12 : size;
  const entry = { name, nid, mode: mode.replace('8', ''), algorithm: triple ? 'des3' : 'aes', variant: mode, keyBytes, ivBytes, blockBytes: block ? size : 1 };
  for (const alias of [name, ...aliases]) ciphers[alias.toLowerCase()] = entry;
  order.push(...aliases.filter((alias) => alias !== name), name.startsWith('id-') ? name.replace(/gcm$/, 'GCM') : name);
}
const NIDS = {
  128: { cbc: 419, cfb: 421, cfb8: 653, ctr: 904, ecb: 418, gcm: 895, ofb: 420 },
  192: { cbc: 423, cfb: 425, cfb8: 654, ctr: 905, ecb: 422, gcm: 898, ofb: 424 },
  256: { cbc: 427, cfb: 429, cfb8: 655, ctr: 906, ecb: 426, gcm: 901, ofb: 428 },
};
for (const bits of Object.keys(NIDS)) {
  for (const [mode, nid] of Object.entries(NIDS[bits])) {
    const aliases = mode === 'cbc' ? [`aes${bits}`] : mode === 'gcm' ? [`aes-${bits}-gcm`] : [];
    cipher(mode === 'gcm' ? `id-aes${bits}-gcm` : `aes-${bits}-${mode}`, nid, mode, bits / 8, ...aliases);
  }
}
cipher('des-ede3-cbc', 44, 'cbc', 24, 'des3');
cipher('des-ede3', 33, 'ecb', 24, 'des-ede3-ecb');

export const cipherOf = (name) => ciphers[name.toLowerCase()];
export const cipherOfNid = (nid) => Object.values(ciphers).find((entry) => entry.nid === nid);
export const CIPHERS = order.sort();

export const CURVES = ['brainpoolP256r1', 'brainpoolP384r1', 'brainpoolP512r1', 'prime192v1', 'prime256v1', 'secp224r1', 'secp256k1', 'secp384r1', 'secp521r1'];

export const RSA_PKCS1_PADDING = 1;
export const RSA_PKCS1_OAEP_PADDING = 4;
export const RSA_PKCS1_PSS_PADDING = 6;
export const RSA_PSS_SALTLEN_MAX_SIGN = -2;

// Those of Node's that mean something here: there is neither TLS nor an engine.
export const constants = {
  __proto__: null,
  DH_CHECK_P_NOT_SAFE_PRIME: 2,
  DH_CHECK_P_NOT_PRIME: 1,
  DH_UNABLE_TO_CHECK_GENERATOR: 4,
  DH_NOT_SUITABLE_GENERATOR: 8,
  RSA_PKCS1_PADDING,
  RSA_NO_PADDING: 3,
  RSA_PKCS1_OAEP_PADDING,
  RSA_X931_PADDING: 5,
  RSA_PKCS1_PSS_PADDING,
  RSA_PSS_SALTLEN_DIGEST: -1,
  RSA_PSS_SALTLEN_MAX_SIGN,
  RSA_PSS_SALTLEN_AUTO: -2,
  POINT_CONVERSION_COMPRESSED: 2,
  POINT_CONVERSION_UNCOMPRESSED: 4,
  POINT_CONVERSION_HYBRID: 6,
};
