// OpenSSL's queue of errors may still hold those of an earlier script: this takes them out.
try { crypto.createPrivateKey('-'); } catch {}
const told = (e) => [e.name, e.message, typeof e.code === 'number' ? null : (e.code ?? null)];
const shown = (v) => (Buffer.isBuffer(v) ? v.toString('hex') : v instanceof ArrayBuffer ? ['ab', Buffer.from(v).toString('hex')] : typeof v === 'bigint' ? `${v}n` : v === undefined ? 'undefined' : v);
const out = [];
const t = async (run) => { try { out.push(shown(await run())); } catch (e) { out.push(told(e)); } };
const subtle = crypto.subtle;
const info = (key) => JSON.stringify({ type: key.type, extractable: key.extractable, algorithm: key.algorithm, usages: key.usages });
const pem = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgA0JsORmHEaVVVn1L
c53N3bmlopHkNxb+Qz1/CwyUT5GhRANCAATlHU2KnpJI8i+KD07WH4HFHHrak5nh
MPqunKTFrCVOQTn9+EWiOV6O9CEhTxIcapgh62qXsN74bqKV/+cTVuTO
-----END PRIVATE KEY-----
`;
const pkcs8 = crypto.createPrivateKey(pem).export({ type: 'pkcs8', format: 'der' }); const spki = crypto.createPublicKey(pem).export({ type: 'spki', format: 'der' }); const jwk = crypto.createPrivateKey(pem).export({ format: 'jwk' });
const ecdsa = { name: 'ECDSA', namedCurve: 'P-256' };
await t(async () => { const privateKey = await subtle.importKey('pkcs8', pkcs8, ecdsa, true, ['sign']); const publicKey = await subtle.importKey('spki', spki, ecdsa, true, ['verify']); const signature = await subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, privateKey, Buffer.from('m')); return [info(privateKey), info(publicKey), signature.byteLength, await subtle.verify({ name: 'ECDSA', hash: 'SHA-256' }, publicKey, signature, Buffer.from('m')), await subtle.verify({ name: 'ECDSA', hash: 'SHA-256' }, publicKey, signature, Buffer.from('n')), await subtle.verify({ name: 'ECDSA', hash: 'SHA-256' }, publicKey, Buffer.alloc(5), Buffer.from('n')), Object.entries(await subtle.exportKey('jwk', publicKey)), Buffer.from(await subtle.exportKey('raw', publicKey)).toString('hex')]; });
await t(async () => info(await subtle.importKey('jwk', jwk, ecdsa, true, ['sign'])));
await t(async () => { const publicKey = await subtle.importKey('spki', spki, ecdsa, true, ['verify']); return info(await subtle.importKey('raw', await subtle.exportKey('raw', publicKey), ecdsa, true, ['verify'])); });
await t(() => subtle.importKey('jwk', jwk, { name: 'ECDSA', namedCurve: 'P-384' }, true, ['sign']));
await t(() => subtle.importKey('spki', spki, { name: 'ECDSA', namedCurve: 'P-384' }, true, ['verify']));
await t(() => subtle.importKey('spki', spki, { name: 'ECDSA', namedCurve: 'nope' }, true, ['verify']));
for (const namedCurve of ['P-256', 'P-384', 'P-521']) await t(async () => { const pair = await subtle.generateKey({ name: 'ECDH', namedCurve }, true, ['deriveBits']); const bits = await subtle.deriveBits({ name: 'ECDH', public: pair.publicKey }, pair.privateKey, 128); return [info(pair.publicKey), info(pair.privateKey), bits.byteLength, (await subtle.deriveBits({ name: 'ECDH', public: pair.publicKey }, pair.privateKey, null)).byteLength]; });
await t(async () => { const pair = await subtle.generateKey('Ed25519', true, ['sign', 'verify']); const signature = await subtle.sign('Ed25519', pair.privateKey, Buffer.from('m')); return [info(pair.publicKey), info(pair.privateKey), signature.byteLength, await subtle.verify('Ed25519', pair.publicKey, signature, Buffer.from('m')), Object.keys(await subtle.exportKey('jwk', pair.privateKey))]; });
await t(async () => { const key = await subtle.importKey('pkcs8', crypto.createPrivateKey(`-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ6a3H4mHgzVaDakehXqvR9QIokVeKkAsmEb29B4tSaI
-----END PRIVATE KEY-----
`).export({ type: 'pkcs8', format: 'der' }), 'Ed25519', false, ['sign']); return subtle.sign('Ed25519', key, Buffer.from('m')); });
await t(async () => { const own = await subtle.importKey('pkcs8', crypto.createPrivateKey(`-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VuBCIEIDgDoLuV7RiipIcH8NJYRq8SY0t8Cwz/2ueBl8x9JKBb
-----END PRIVATE KEY-----
`).export({ type: 'pkcs8', format: 'der' }), 'X25519', false, ['deriveBits']); const other = await subtle.importKey('spki', crypto.createPublicKey(`-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VuBCIEIDgDoLuV7RiipIcH8NJYRq8SY0t8Cwz/2ueBl8x9JKBb
-----END PRIVATE KEY-----
`).export({ type: 'spki', format: 'der' }), 'X25519', true, []); return subtle.deriveBits({ name: 'X25519', public: other }, own, 256); });
await t(() => subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['encrypt']));
await t(() => subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, []));
// What a handler returns is cut at 16 KiB.
return JSON.stringify(out).length < 15000 ? out : out.map((entry) => crypto.createHash('md5').update(JSON.stringify(entry)).digest('hex').slice(0, 6));
