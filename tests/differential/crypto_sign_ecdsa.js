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
const p256Key = ecKey('prime256v1', 'P-256', 32);
const p521Key = ecKey('secp521r1', 'P-521', 66);
const k1Key = ecKey('secp256k1', 'secp256k1', 32);
for (const key of [p256Key, p521Key, k1Key]) {
  const publicKey = crypto.createPublicKey(key);
  for (const name of ['sha1', 'sha256', 'sha384', 'sha512', 'ripemd160', 'sha512-256', 'md5']) for (const dsaEncoding of [undefined, 'der', 'ieee-p1363']) t(() => {
    const s = crypto.createSign(name).update('m').sign({ key, dsaEncoding });
    return [dsaEncoding ? s.length > 60 : null, dsaEncoding === 'ieee-p1363' ? s.length : null, crypto.createVerify(name).update('m').verify({ key: publicKey, dsaEncoding }, s), crypto.createVerify(name).update('x').verify({ key: publicKey, dsaEncoding }, s), crypto.verify(name, 'm', { key: publicKey, dsaEncoding }, s)];
  });
  t(() => crypto.verify(null, 'm', publicKey, crypto.sign(null, 'm', key)));
  t(() => crypto.verify('sha256', 'm', publicKey, crypto.sign(undefined, 'm', key)));
}
const p256 = p256Key;
for (const wrong of [Buffer.alloc(0), Buffer.alloc(5), Buffer.alloc(64), 'x', Buffer.from('3006020101020101', 'hex')]) { t(() => crypto.createVerify('sha256').update('m').verify(p256, wrong)); }
t(() => crypto.createVerify('sha256').update('m').verify({ key: p256, dsaEncoding: 'ieee-p1363' }, Buffer.alloc(63)));
for (const dsaEncoding of ['nope', 5, null]) t(() => crypto.createSign('sha256').update('m').sign({ key: p256, dsaEncoding }));
// A signature that was made elsewhere.
t(() => crypto.createVerify('sha256').update('fixed message').verify({ key: p256, dsaEncoding: 'ieee-p1363' }, '85AxuyxRhP1AAsLtR0gHYvfHK7hk0VhKxwJ9Ksv3M/LODI/0/A3kCAt/UKwVobDyUBvLT3vqc+aD0gWKbBt2Bg==', 'base64'));
t(() => crypto.createSign('sha256').update('m').sign({ key: p256, padding: 6 }).length > 60);
// What a handler returns is cut at 16 KiB.
return JSON.stringify(out).length < 15000 ? out : out.map((entry) => crypto.createHash('md5').update(JSON.stringify(entry)).digest('hex').slice(0, 6));
