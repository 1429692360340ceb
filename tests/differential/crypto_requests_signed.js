// OpenSSL's queue of errors may still hold those of an earlier script: this takes them out.
try { crypto.createPrivateKey('-'); } catch {}
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
const rsa2048 = rsaKey(2048, 550, 1298);
const p256Key = ecKey('prime256v1', 'P-256', 32);
const edKey = rawKey('ed', '70', 32);
// As people sign what they send.
const now = 1700000000;
const b64 = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const jwt = (key, alg, sign) => { const head = `${b64({ alg, typ: 'JWT' })}.${b64({ sub: '1', iat: now })}`; return `${head}.${sign(head).toString('base64url')}`; };
const rsa = rsa2048; const ec = p256Key; const ed = edKey;
const hs = jwt('k', 'HS256', (head) => crypto.createHmac('sha256', 'secret').update(head).digest());
const rs = jwt(rsa, 'RS256', (head) => crypto.createSign('RSA-SHA256').update(head).sign(rsa));
const eddsa = jwt(ed, 'EdDSA', (head) => crypto.sign(null, Buffer.from(head), ed));
const es = jwt(ec, 'ES256', (head) => crypto.sign('sha256', Buffer.from(head), { key: ec, dsaEncoding: 'ieee-p1363' }));
const [head, body, signature] = es.split('.');
const checked = crypto.verify('sha256', Buffer.from(`${head}.${body}`), { key: crypto.createPublicKey(ec), dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url'));
const oauth = crypto.createHmac('sha1', 'consumer&token').update('POST&https%3A%2F%2Fapi.example.com%2F1&a%3D1').digest('base64');
const email = crypto.createHash('sha256').update(' Ada@Example.com '.trim().toLowerCase()).digest('hex');
const iv = Buffer.alloc(16, 1); const cipher = crypto.createCipheriv('aes-256-cbc', crypto.createHash('sha256').update('password').digest(), iv);
const sealed = cipher.update(JSON.stringify({ email: 'ada@example.com' }), 'utf8', 'base64') + cipher.final('base64');
const password = crypto.scryptSync('hunter2', 'salt', 32).toString('hex');
const aws = ['20260101', 'eu-west-1', 's3', 'aws4_request'].reduce((key, part) => crypto.createHmac('sha256', key).update(part).digest(), 'AWS4secret').toString('hex');
const safe = crypto.timingSafeEqual(Buffer.from(hs), Buffer.from(hs));
return { hs, rs, eddsa, checked, oauth, email, sealed, password, aws, safe };
