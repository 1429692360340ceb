// OpenSSL's queue of errors may still hold those of an earlier script: this takes them out.
try { crypto.createPrivateKey('-'); } catch {}
const told = (e) => [e.name, e.message, e.code ?? null, e.library ?? null, e.reason ?? null];
const shown = (v) => (Buffer.isBuffer(v) ? v.toString('hex') : v instanceof ArrayBuffer ? ['ab', Buffer.from(v).toString('hex')] : typeof v === 'bigint' ? `${v}n` : v === undefined ? 'undefined' : v);
const out = [];
const t = (run) => { try { out.push(shown(run())); } catch (e) { out.push(told(e)); } };
for (const key of [Buffer.from('abc'), new Uint8Array(3), new ArrayBuffer(2), new DataView(new ArrayBuffer(4)), 'text', '']) t(() => { const k = crypto.createSecretKey(key); return [k.type, k.symmetricKeySize, k.export().toString('hex'), k.export({ format: 'jwk' }), k.export({ format: 'buffer' }).length, String(k), k.asymmetricKeyType ?? null]; });
t(() => crypto.createSecretKey('616263', 'hex').export().toString());
for (const wrong of [undefined, null, 5, {}, [], crypto.createSecretKey('a')]) t(() => crypto.createSecretKey(wrong));
for (const options of [null, 5, 'x', { format: 'pem' }, {}, { format: undefined }]) t(() => crypto.createSecretKey('a').export(options));
t(() => crypto.createSecretKey('a').equals(crypto.createSecretKey('a')));
t(() => crypto.createSecretKey('a').equals(crypto.createSecretKey('b')));
t(() => { const b = Buffer.from('abc'); const k = crypto.createSecretKey(b); b.fill(0); k.export().fill(1); return k.export().toString(); });
t(() => crypto.createSecretKey('a') instanceof crypto.KeyObject);
t(() => JSON.stringify(crypto.createSecretKey('a')));
for (const [type, options] of [['aes', { length: 128 }], ['aes', { length: 256 }], ['hmac', { length: 64 }], ['hmac', { length: 100 }], ['aes', { length: 100 }], ['hmac', { length: 4 }], ['nope', { length: 8 }], ['aes', undefined], ['aes', {}], [5, {}], ['hmac', { length: '8' }]]) t(() => { const k = crypto.generateKeySync(type, options); return [k.type, k.symmetricKeySize, k.export().length]; });
// What a handler returns is cut at 16 KiB.
return JSON.stringify(out).length < 15000 ? out : out.map((entry) => crypto.createHash('md5').update(JSON.stringify(entry)).digest('hex').slice(0, 6));
