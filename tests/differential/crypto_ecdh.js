// OpenSSL's queue of errors may still hold those of an earlier script: this takes them out.
try { crypto.createPrivateKey('-'); } catch {}
const told = (e) => [e.name, e.message, e.code ?? null, e.library ?? null, e.reason ?? null];
const shown = (v) => (Buffer.isBuffer(v) ? v.toString('hex') : v instanceof ArrayBuffer ? ['ab', Buffer.from(v).toString('hex')] : typeof v === 'bigint' ? `${v}n` : v === undefined ? 'undefined' : v);
const out = [];
const t = (run) => { try { out.push(shown(run())); } catch (e) { out.push(told(e)); } };
// Keys that are nobody's: made from names, so that none has to be written down.
const seeded = (name, size) => { let hex = ''; for (let n = 0; hex.length < 2 * size; n++) hex += crypto.createHash('sha256').update(name + n).digest('hex'); return hex.slice(0, 2 * size); };
const written = (key, format = 'der') => crypto.createPrivateKey({ key, format, type: 'pkcs8' }).export({ type: 'pkcs8', format: 'pem' });
const ecKey = (curve, crv, size) => { const own = crypto.createECDH(curve); const d = Buffer.from(seeded(curve, size), 'hex'); d[0] = 0; own.setPrivateKey(d); const point = own.getPublicKey(); return written({ kty: 'EC', crv, d: d.toString('base64url'), x: point.subarray(1, 1 + size).toString('base64url'), y: point.subarray(1 + size).toString('base64url') }, 'jwk'); };
const rawKey = (name, oid, size) => written(Buffer.from(`30${(size + 14).toString(16)}020100300506032b65${oid}04${(size + 2).toString(16)}04${size.toString(16)}${seeded(name, size)}`, 'hex'));
const p256Key = ecKey('prime256v1', 'P-256', 32);
const k1Key = ecKey('secp256k1', 'secp256k1', 32);
const edKey = rawKey('ed', '70', 32);
const xKey = rawKey('x', '6e', 32);
for (const curve of ['prime256v1', 'secp256k1', 'secp384r1', 'secp521r1']) t(() => { const a = crypto.createECDH(curve); const b = crypto.createECDH(curve); a.generateKeys(); b.generateKeys(); return [a.computeSecret(b.getPublicKey()).equals(b.computeSecret(a.getPublicKey('hex', 'compressed'), 'hex')), a.getPrivateKey().length > 20]; });
const fixed = (fill) => { const e = crypto.createECDH('secp256k1'); e.setPrivateKey(Buffer.alloc(32, fill)); return e; };
for (const format of [undefined, 'uncompressed', 'compressed', 'hybrid', 'nope']) for (const encoding of [undefined, 'hex', 'base64']) t(() => fixed(7).getPublicKey(encoding, format));
t(() => fixed(7).computeSecret(fixed(9).getPublicKey(), undefined, 'hex'));
t(() => fixed(7).computeSecret(fixed(9).getPublicKey('base64', 'compressed'), 'base64', 'base64'));
t(() => fixed(7).getPrivateKey('hex'));
t(() => crypto.ECDH.convertKey(fixed(7).getPublicKey('hex'), 'secp256k1', 'hex', 'hex', 'compressed'));
t(() => crypto.ECDH.convertKey(fixed(7).getPublicKey('hex', 'compressed'), 'secp256k1', 'hex', 'base64', 'hybrid'));
for (const curve of ['nope', '', 'P-256', undefined, 5]) t(() => crypto.createECDH(curve));
t(() => crypto.createECDH('prime256v1').getPublicKey());
t(() => crypto.createECDH('prime256v1').getPrivateKey());
t(() => crypto.createECDH('prime256v1').computeSecret(fixed(1).getPublicKey()));
t(() => fixed(7).computeSecret('abc'));
t(() => fixed(7).computeSecret(Buffer.alloc(65, 4)));
t(() => fixed(0));
t(() => fixed(255));
t(() => crypto.createECDH('prime256v1').setPrivateKey(5));
for (const pair of [[p256Key, p256Key], [xKey, xKey], [k1Key, k1Key]]) t(() => crypto.diffieHellman({ privateKey: crypto.createPrivateKey(pair[0]), publicKey: crypto.createPublicKey(pair[1]) }));
for (const options of [undefined, {}, { privateKey: crypto.createPrivateKey(xKey) }, { privateKey: crypto.createPrivateKey(xKey), publicKey: crypto.createPublicKey(p256Key) }, { privateKey: crypto.createPrivateKey(edKey), publicKey: crypto.createPublicKey(edKey) }, { privateKey: crypto.createPublicKey(xKey), publicKey: crypto.createPublicKey(xKey) }]) t(() => crypto.diffieHellman(options));
// What a handler returns is cut at 16 KiB.
return JSON.stringify(out).length < 15000 ? out : out.map((entry) => crypto.createHash('md5').update(JSON.stringify(entry)).digest('hex').slice(0, 6));
