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
const rsa = crypto.createPrivateKey(rsa1024);
const pub = crypto.createPublicKey(rsa);
for (const make of [crypto.createPrivateKey, crypto.createPublicKey]) {
  for (const wrong of [undefined, null, 5, true, '', 'abc', {}, [], { key: undefined }, { key: 5 }, { key: 'abc', format: 'nope' }, { key: 'abc', format: 'der' }, { key: Buffer.from('abc'), format: 'der', type: 'nope' }, { key: Buffer.from('abc'), format: 'der', type: 'pkcs1' }, { key: 'abc', passphrase: 5 }, Buffer.alloc(0), Buffer.from('abc'), rsa.symmetricKeySize, crypto.createSecretKey(Buffer.from('a')), Symbol.iterator]) t(() => make(wrong));
  for (const pem of ['-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----', '-----BEGIN PRIVATE KEY-----\n!!!\n-----END PRIVATE KEY-----', '-----BEGIN PRIVATE KEY-----\nAAAA\n', '-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----']) t(() => make(pem).type);
}
t(() => crypto.createPrivateKey(pub.export({ type: 'spki', format: 'pem' })));
t(() => crypto.createPrivateKey({ key: Buffer.from('abc'), format: 'der', type: 'pkcs8' }));
t(() => crypto.createPrivateKey({ key: Buffer.from('abc'), format: 'der', type: 'sec1' }));
t(() => crypto.createPublicKey({ key: Buffer.from('abc'), format: 'der', type: 'spki' }));
t(() => crypto.createPrivateKey(rsa));
t(() => crypto.createPublicKey(pub));
t(() => crypto.createPrivateKey({ key: rsa }));
t(() => new crypto.KeyObject('secret', {}));
t(() => new crypto.KeyObject('nope'));
t(() => crypto.KeyObject.from(5));
for (const other of [undefined, null, 5, {}, 'x']) t(() => pub.equals(other));
t(() => pub.equals(rsa));
t(() => crypto.createPublicKey(rsa).equals(pub));
// What a handler returns is cut at 16 KiB.
return JSON.stringify(out).length < 15000 ? out : out.map((entry) => crypto.createHash('md5').update(JSON.stringify(entry)).digest('hex').slice(0, 6));
