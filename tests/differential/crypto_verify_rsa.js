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
const rsa1024 = rsaKey(1024, 136, 414);
const key = rsa1024;
const publicKey = crypto.createPublicKey(key);
const pem = publicKey.export({ type: 'spki', format: 'pem' });
const signature = crypto.createSign('sha256').update('message').sign(key);
for (const verifier of [publicKey, pem, key, { key: pem }, { key: publicKey }, publicKey.export({ type: 'pkcs1', format: 'pem' }), { key: publicKey.export({ type: 'spki', format: 'der' }), format: 'der', type: 'spki' }, { key: publicKey.export({ format: 'jwk' }), format: 'jwk' }, Buffer.from(pem), crypto.createPrivateKey(key)]) t(() => crypto.createVerify('sha256').update('message').verify(verifier, signature));
t(() => crypto.createVerify('sha256').update('other').verify(pem, signature));
t(() => crypto.createVerify('sha1').update('message').verify(pem, signature));
for (const encoding of ['hex', 'base64', 'base64url', 'latin1']) t(() => crypto.createVerify('sha256').update('message').verify(pem, signature.toString(encoding), encoding));
for (const wrong of [Buffer.alloc(0), Buffer.alloc(5), Buffer.alloc(128), Buffer.alloc(129), 'text', signature.subarray(1), Buffer.concat([signature, Buffer.alloc(1)])]) t(() => crypto.createVerify('sha256').update('message').verify(pem, wrong));
for (const wrong of [undefined, null, 5, {}]) t(() => crypto.createVerify('sha256').update('message').verify(pem, wrong));
for (const wrong of [undefined, null, '', 5, {}, 'abc', crypto.createSecretKey(Buffer.from('a'))]) t(() => crypto.createVerify('sha256').verify(wrong, signature));
t(() => crypto.verify('sha256', Buffer.from('message'), pem, signature));
t(() => crypto.verify('sha256', 'message', { key: pem, padding: 6 }, signature));
t(() => crypto.verify('sha256', 'message', pem));
t(() => crypto.verify('nope', 'message', pem, signature));
t(() => { const v = crypto.createVerify('sha256'); v.verify(pem, signature); return v.verify(pem, signature); });
t(() => crypto.createVerify('sha256') instanceof crypto.Verify);
// What a handler returns is cut at 16 KiB.
return JSON.stringify(out).length < 15000 ? out : out.map((entry) => crypto.createHash('md5').update(JSON.stringify(entry)).digest('hex').slice(0, 6));
