// OpenSSL's queue of errors may still hold those of an earlier script: this takes them out.
try { crypto.createPrivateKey('-'); } catch {}
const told = (e) => [e.name, e.message, e.code ?? null, e.library ?? null, e.reason ?? null];
const shown = (v) => (Buffer.isBuffer(v) ? v.toString('hex') : v instanceof ArrayBuffer ? ['ab', Buffer.from(v).toString('hex')] : typeof v === 'bigint' ? `${v}n` : v === undefined ? 'undefined' : v);
const out = [];
const t = (run) => { try { out.push(shown(run())); } catch (e) { out.push(told(e)); } };
// Keys that are nobody's: made from names, so that none has to be written down.
const seeded = (name, size) => { let hex = ''; for (let n = 0; hex.length < 2 * size; n++) hex += crypto.createHash('sha256').update(name + n).digest('hex'); return hex.slice(0, 2 * size); };
const written = (key, format = 'der') => crypto.createPrivateKey({ key, format, type: 'pkcs8' }).export({ type: 'pkcs8', format: 'pem' });
const big = (value) => Buffer.from(value.toString(16).padStart(value.toString(16).length + (value.toString(16).length % 2), '0'), 'hex').toString('base64url');
const inverse = (a, m) => { let [r, s, u, v] = [m, a % m, 0n, 1n]; while (s) [r, s, u, v] = [s, r % s, v, u - (r / s) * v]; return ((u % m) + m) % m; };
// The primes are so far from what their names give.
const rsaKey = (bits, farP, farQ) => {
  const prime = (part, far) => (BigInt(`0x${seeded(`${part}${bits}`, bits / 16)}`) | (3n << BigInt(bits / 2 - 2)) | 1n) + BigInt(far);
  const [p, q, e] = [prime('p', farP), prime('q', farQ), 65537n]; const d = inverse(e, (p - 1n) * (q - 1n));
  return written({ kty: 'RSA', n: big(p * q), e: big(e), d: big(d), p: big(p), q: big(q), dp: big(d % (p - 1n)), dq: big(d % (q - 1n)), qi: big(inverse(q, p)) }, 'jwk');
};
const ecKey = (curve, crv, size) => { const own = crypto.createECDH(curve); const d = Buffer.from(seeded(curve, size), 'hex'); d[0] = 0; own.setPrivateKey(d); const point = own.getPublicKey(); return written({ kty: 'EC', crv, d: d.toString('base64url'), x: point.subarray(1, 1 + size).toString('base64url'), y: point.subarray(1 + size).toString('base64url') }, 'jwk'); };
const rawKey = (name, oid, size) => written(Buffer.from(`30${(size + 14).toString(16)}020100300506032b65${oid}04${(size + 2).toString(16)}04${size.toString(16)}${seeded(name, size)}`, 'hex'));
const rsa1024 = rsaKey(1024, 136, 414);
const p256Key = ecKey('prime256v1', 'P-256', 32);
const edKey = rawKey('ed', '70', 32);
const make = (key) => () => [crypto.createPublicKey({ key, format: 'jwk' }).asymmetricKeyType];
const makePrivate = (key) => () => [crypto.createPrivateKey({ key, format: 'jwk' }).asymmetricKeyType];
for (const key of [{}, { kty: 5 }, { kty: 'nope' }, { kty: 'oct', k: 'AA' }, { kty: 'RSA' }, { kty: 'RSA', n: 'AQAB' }, { kty: 'RSA', n: 5, e: 'AQAB' }, { kty: 'RSA', n: 'AQAB', e: 'AQAB' }, { kty: 'EC' }, { kty: 'EC', crv: 'nope', x: 'AA', y: 'AA' }, { kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA' }, { kty: 'EC', crv: 5, x: 'AA', y: 'AA' }, { kty: 'OKP' }, { kty: 'OKP', crv: 'nope', x: 'AA' }, { kty: 'OKP', crv: 'Ed25519', x: 'AA' }]) { t(makePrivate(key)); if (key.e !== 'AQAB' || key.n === 5) t(make(key)); }
const ec = crypto.createPrivateKey(p256Key).export({ format: 'jwk' });
t(makePrivate(ec));
t(make(ec));
t(makePrivate({ ...ec, d: undefined }));
t(makePrivate({ ...ec, d: 5 }));
t(make({ ...ec, x: ec.y }));
const ed = crypto.createPrivateKey(edKey).export({ format: 'jwk' });
t(makePrivate(ed));
t(makePrivate({ ...ed, d: undefined }));
const rsa = crypto.createPrivateKey(rsa1024).export({ format: 'jwk' });
t(makePrivate(rsa));
t(makePrivate({ ...rsa, d: undefined }));
t(makePrivate({ ...rsa, p: undefined }));
t(make({ ...rsa, extra: 1, use: 'sig' }));
for (const key of ['text', 5, null, undefined, []]) t(make(key));
// What a handler returns is cut at 16 KiB.
return JSON.stringify(out).length < 15000 ? out : out.map((entry) => crypto.createHash('md5').update(JSON.stringify(entry)).digest('hex').slice(0, 6));
