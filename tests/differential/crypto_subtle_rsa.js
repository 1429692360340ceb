// OpenSSL's queue of errors may still hold those of an earlier script: this takes them out.
try { crypto.createPrivateKey('-'); } catch {}
const told = (e) => [e.name, e.message, typeof e.code === 'number' ? null : (e.code ?? null)];
const shown = (v) => (Buffer.isBuffer(v) ? v.toString('hex') : v instanceof ArrayBuffer ? ['ab', Buffer.from(v).toString('hex')] : typeof v === 'bigint' ? `${v}n` : v === undefined ? 'undefined' : v);
const out = [];
const t = async (run) => { try { out.push(shown(await run())); } catch (e) { out.push(told(e)); } };
const subtle = crypto.subtle;
const pem = `-----BEGIN PRIVATE KEY-----
MIIEvAIBADANBgkqhkiG9w0BAQEFAASCBKYwggSiAgEAAoIBAQDMRixCnbjA4LHW
lnqHSbSBIKrJHcw+VemzDXakvkRgX/T6VXzqNzEOV5GYCtVfphjB9b3ftIBhv4A9
IDbNj2qkktD07ToIzwFWgThxRhdVSdzq36RtTg8Ijn1P7CKuQ5v8qWSr1Npqw/c6
CT4gMfZw7AnNAvq2L/EXS3f7FWyAeZPiA2KuNBh4g5VEEvA067LYrdMmw0Pie9MR
2iecQhrLJyGCCHGxKmJ9KQ7bAwPr1rJgget1Hx28U+QwbbOqY5xuVUb9LmNZDaJM
ecAq48OGl8D8tzYKTohX5WrjfEuziCEeS16N8xj3Pf/nWVKty4NPyp4yAzedXauN
hBSlPrQNAgMBAAECggEAKUbVuzlJI6pTrSeXhz5Yu834zK5ZftAX6s8h5fyvbuT8
6Ne858vyvPHrcNRhlNQIhSrtrOY5mebbGB7qDAP6mdoz4IYOF8kSfWMbn2H5JYoJ
GqnJvS+MgJ9gSXXO9TUisD2fYsxePTwvePn0pIdMA7niaht7wzQxTJJ6olEMLXJm
ySBE93v57XL3AWx5xSdIXP0S0ddXzskh/pfK9iRmEaFtIeHLINFmj8B+kxgB44qg
h50PavVoV+IxrOrxbi3Kq58bP0GqanGQPiPVi1HOXrHAYn1v3vP7JCn/V/N2j7zX
l87gM31fg5JzOTMA1LKShJIeo6qm4W0LTMxhodhMaQKBgQD9wf4RmfE2aP5IJZRu
BugDgMCKyPNeZboZj9rPMuy6Ucn7Ic/FObZphRh7fmrFjapQeHJ/NIVIvtiBFodv
gG2+nLCpgjfV81T7Ql6KrLDQwzhpjD4ccwZB9KMdY4wPll4GWcqm8k6WaC0lipiC
hkXiuSyVn0CMH+fAK4tAJjVr1QKBgQDOFD82VslLplnF1fVjO4zV6LhD77eOLz57
z/SEzWKxKtXTU8wvoeO6syg53ZdSJdAEFj22DKHKaQk0mPULDU1go/td9w13Xzxs
/kOs8DQftCROlfSCUNPKzLpiTR/6ZyDFUzURlpiAFeNYnMO2VCP8Q7FiimTdGjmE
6Q0OiznbWQKBgASEwtBvbFMqtXR1btoyt0jwrv0JrQO+Tf0MibnszzhWIoGdTYTW
jT/9xbzVOHOCHUlHi8pmFgWAmHxb+Vdr8whU4/RwxCvEJHxA50wS3ScqgsOmYqjB
B5h/EbSBREo2xD/as3gbknitLDih6itQ1se9wmR7rHuSSd8rJ1SiGYttAoGAMV1y
Qv8JG0EPEjANpya1tuwXb9a1nq68hgYrqcBVWuFK9WOGbwaVubx+71WgkQIT0VbO
k5R1ETqWBO57DJm0JmlBpqGurSC4JdfGuF+V7N5HMDgFqU3ZXiQqpa+Z8G7Rz9L9
zGfJwiz8F9b9nuiK8jv4+wTx4nEMxETbZtd9FYkCgYBdK3Mrk9wZ6NFFgZgbBxza
PCNk/PhfFfMDBJDD22eghUCqc4WMLvUnmblD6e16KduYiG2M3LFaBR4eJj2dvnwb
UVddsXLbfws9V7Yy2YC/DAiyTL3neoLRVmDioFkEpXzqwO0BndaVtNHnnBA6KP/p
fyRjbyE4BihpAxGfWJLBGw==
-----END PRIVATE KEY-----
`;
const pkcs8 = crypto.createPrivateKey(pem).export({ type: 'pkcs8', format: 'der' }); const spki = crypto.createPublicKey(pem).export({ type: 'spki', format: 'der' });
const info = (key) => JSON.stringify({ type: key.type, extractable: key.extractable, algorithm: { ...key.algorithm, publicExponent: [...key.algorithm.publicExponent] }, usages: key.usages });
for (const hash of ['SHA-1', 'SHA-256', 'SHA-512']) await t(async () => {
  const algorithm = { name: 'RSASSA-PKCS1-v1_5', hash };
  const privateKey = await subtle.importKey('pkcs8', pkcs8, algorithm, true, ['sign']); const publicKey = await subtle.importKey('spki', spki, algorithm, true, ['verify']);
  const signature = await subtle.sign(algorithm.name, privateKey, Buffer.from('m'));
  return [info(privateKey), info(publicKey), Buffer.from(signature).toString('hex').slice(0, 40), await subtle.verify(algorithm.name, publicKey, signature, Buffer.from('m')), await subtle.verify(algorithm.name, publicKey, signature, Buffer.from('n')), Object.entries(await subtle.exportKey('jwk', publicKey)), Buffer.from(await subtle.exportKey('spki', publicKey)).equals(spki)];
});
await t(async () => { const algorithm = { name: 'RSA-PSS', hash: 'SHA-256' }; const privateKey = await subtle.importKey('pkcs8', pkcs8, algorithm, false, ['sign']); const publicKey = await subtle.importKey('spki', spki, algorithm, true, ['verify']); const scheme = { name: 'RSA-PSS', saltLength: 32 }; return subtle.verify(scheme, publicKey, await subtle.sign(scheme, privateKey, Buffer.from('m')), Buffer.from('m')); });
await t(async () => { const algorithm = { name: 'RSA-OAEP', hash: 'SHA-256' }; const privateKey = await subtle.importKey('jwk', crypto.createPrivateKey(pem).export({ format: 'jwk' }), algorithm, true, ['decrypt']); const publicKey = await subtle.importKey('spki', spki, algorithm, true, ['encrypt']); const sealed = await subtle.encrypt({ name: 'RSA-OAEP', label: Buffer.from('l') }, publicKey, Buffer.from('text')); return [sealed.byteLength, Buffer.from(await subtle.decrypt({ name: 'RSA-OAEP', label: Buffer.from('l') }, privateKey, sealed)).toString(), Object.keys(await subtle.exportKey('jwk', privateKey))]; });
await t(async () => { const pair = await subtle.generateKey({ name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256', modulusLength: 1024, publicExponent: new Uint8Array([1, 0, 1]) }, false, ['sign', 'verify']); return [info(pair.publicKey), info(pair.privateKey)]; });
await t(() => subtle.importKey('spki', spki, { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }, true, ['sign']));
await t(() => subtle.importKey('pkcs8', pkcs8, { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }, true, []));
await t(() => subtle.importKey('spki', Buffer.from('junk'), { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }, true, ['verify']));
await t(() => subtle.importKey('raw', Buffer.from('junk'), { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }, true, ['verify']));
// What a handler returns is cut at 16 KiB.
return JSON.stringify(out).length < 15000 ? out : out.map((entry) => crypto.createHash('md5').update(JSON.stringify(entry)).digest('hex').slice(0, 6));
