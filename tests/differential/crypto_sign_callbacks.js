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
const rsa1024 = rsaKey(1024, 136, 414);
const key = rsa1024; const publicKey = crypto.createPublicKey(key);
const order = [];
const signature = await new Promise((done) => { crypto.sign('sha256', 'm', key, (error, s) => { order.push([error, s.toString('hex')]); done(s); }); order.push('after sign'); });
await new Promise((done) => crypto.verify('sha256', 'm', publicKey, signature, (error, right) => { order.push([error, right]); done(); }));
await new Promise((done) => crypto.verify('sha256', 'n', publicKey, signature, (error, right) => { order.push([error, right]); done(); }));
await new Promise((done) => crypto.sign('sha256', 'm', { key, padding: 3 }, (error, s) => { order.push([error.code, s ?? null]); done(); }));
for (const run of [() => crypto.sign('sha256', 'm', key, 5), () => crypto.sign('sha256', 'm', key, null), () => crypto.sign('sha256', 5, key, () => 1), () => crypto.verify('sha256', 'm', key, signature, 'x')]) { try { run(); } catch (e) { order.push([e.name, e.message, e.code]); } }
return order;
