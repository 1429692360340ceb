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
const rsa2048 = rsaKey(2048, 550, 1298);
const key = rsa2048; const publicKey = crypto.createPublicKey(key); const padding = crypto.constants.RSA_PKCS1_PSS_PADDING;
for (const name of ['sha1', 'sha224', 'sha256', 'sha384', 'sha512', 'sha3-256', 'md5']) for (const saltLength of [undefined, -1, -2, 0, 10, 32, 64]) t(() => { const s = crypto.createSign(name).update('m').sign({ key, padding, saltLength }); return [s.length, [undefined, saltLength, -1, -2, 0, 32].map((length) => crypto.createVerify(name).update('m').verify({ key: publicKey, padding, saltLength: length }, s)), crypto.createVerify(name).update('m').verify(publicKey, s), crypto.createVerify(name).update('n').verify({ key: publicKey, padding }, s)]; });
for (const saltLength of [1000, -5, 'x', 1.5, null, 2 ** 40]) t(() => crypto.createSign('sha256').update('m').sign({ key, padding, saltLength }).length);
t(() => crypto.sign('sha256', 'm', { key, padding, saltLength: 0 }).toString('hex'));
t(() => crypto.sign('sha512', 'm', { key: crypto.createPrivateKey(key), padding, saltLength: 0 }).toString('hex'));
// What a handler returns is cut at 16 KiB.
return JSON.stringify(out).length < 15000 ? out : out.map((entry) => crypto.createHash('md5').update(JSON.stringify(entry)).digest('hex').slice(0, 6));
