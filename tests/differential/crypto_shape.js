// OpenSSL's queue of errors may still hold those of an earlier script: this takes them out.
try { crypto.createPrivateKey('-'); } catch {}
// Keys that are nobody's: made from names, so that none has to be written down.
const seeded = (name, size) => { let hex = ''; for (let n = 0; hex.length < 2 * size; n++) hex += crypto.createHash('sha256').update(name + n).digest('hex'); return hex.slice(0, 2 * size); };
const written = (key, format = 'der') => crypto.createPrivateKey({ key, format, type: 'pkcs8' }).export({ type: 'pkcs8', format: 'pem' });
const rawKey = (name, oid, size) => written(Buffer.from(`30${(size + 14).toString(16)}020100300506032b65${oid}04${(size + 2).toString(16)}04${size.toString(16)}${seeded(name, size)}`, 'hex'));
const edKey = rawKey('ed', '70', 32);
const parts = ['createCipheriv', 'createDecipheriv', 'createECDH', 'createHash', 'createHmac', 'createPrivateKey', 'createPublicKey', 'createSecretKey', 'createSign', 'createVerify', 'diffieHellman', 'getCiphers', 'getCipherInfo', 'getCurves', 'getHashes', 'hkdf', 'hkdfSync', 'pbkdf2', 'pbkdf2Sync', 'generateKeyPair', 'generateKeyPairSync', 'generateKey', 'generateKeySync', 'privateDecrypt', 'privateEncrypt', 'publicDecrypt', 'publicEncrypt', 'randomBytes', 'randomFill', 'randomFillSync', 'randomInt', 'randomUUID', 'randomUUIDv7', 'scrypt', 'scryptSync', 'sign', 'timingSafeEqual', 'verify', 'hash', 'getRandomValues', 'getFips', 'Cipheriv', 'Decipheriv', 'ECDH', 'Hash', 'Hmac', 'KeyObject', 'Sign', 'Verify'];
const { createHash, ...rest } = crypto;
const out = parts.map((name) => [name, typeof crypto[name], name in crypto]);
out.push(createHash('md5').update('a').digest('hex'), typeof rest.createHmac, typeof crypto.subtle, typeof crypto.webcrypto, crypto.subtle === crypto.webcrypto.subtle);
out.push(crypto.getHashes(), crypto.getCiphers().includes('aes-256-gcm'), ['prime256v1', 'secp384r1', 'secp521r1', 'secp256k1'].every((name) => crypto.getCurves().includes(name)));
out.push(['RSA_PKCS1_PADDING', 'RSA_NO_PADDING', 'RSA_PKCS1_OAEP_PADDING', 'RSA_PKCS1_PSS_PADDING', 'RSA_PSS_SALTLEN_DIGEST', 'RSA_PSS_SALTLEN_MAX_SIGN', 'RSA_PSS_SALTLEN_AUTO', 'POINT_CONVERSION_HYBRID'].map((name) => crypto.constants[name]));
for (const make of [() => crypto.createHash('md5'), () => crypto.createHmac('md5', 'k'), () => crypto.createSign('md5'), () => crypto.createCipheriv('aes-128-ecb', 'k'.repeat(16), null), () => crypto.createSecretKey('a'), () => crypto.createPublicKey(edKey)]) { const made = make(); out.push([made.constructor.name, typeof made.update, typeof made.on, typeof made.pipe]); }
crypto.randomUUID = () => 'mine';
out.push(crypto.randomUUID());
return out;
