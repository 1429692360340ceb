// OpenSSL's queue of errors may still hold those of an earlier script: this takes them out.
try { crypto.createPrivateKey('-'); } catch {}
const told = (e) => [e.name, e.message, e.code ?? null, e.library ?? null, e.reason ?? null];
const shown = (v) => (Buffer.isBuffer(v) ? v.toString('hex') : v instanceof ArrayBuffer ? ['ab', Buffer.from(v).toString('hex')] : typeof v === 'bigint' ? `${v}n` : v === undefined ? 'undefined' : v);
const out = [];
const t = (run) => { try { out.push(shown(run())); } catch (e) { out.push(told(e)); } };
for (const digest of ['md5', 'sha1', 'sha256', 'sha512', 'sha3-256', 'ripemd160', 'SHA384']) for (const [key, salt, info, length] of [['key', 'salt', 'info', 42], ['', '', '', 10], [Buffer.alloc(200, 1), '', 'x', 100], ['key', Buffer.alloc(70), new Uint8Array(1024), 1]]) t(() => crypto.hkdfSync(digest, key, salt, info, length));
t(() => crypto.hkdfSync('sha256', crypto.createSecretKey(Buffer.from('key')), 's', 'i', 16));
t(() => crypto.hkdfSync('sha256', new ArrayBuffer(4), new DataView(new ArrayBuffer(2)), new Uint16Array(2), 16));
t(() => crypto.hkdfSync('sha256', 'k', 's', 'i', 255 * 32).byteLength);
for (const args of [['nope', 'k', 's', 'i', 5], [5, 'k', 's', 'i', 5], ['sha256', 5, 's', 'i', 5], ['sha256', 'k', undefined, 'i', 5], ['sha256', 'k', 's', null, 5], ['sha256', 'k', 's', 'i', -1], ['sha256', 'k', 's', 'i', '5'], ['sha256', 'k', 's', 'i', 255 * 32 + 1], ['sha256', 'k', 's', 'i', 0], ['sha256', 'k', 's', Buffer.alloc(1025), 5], ['sha256', 'k', 's', 'i', 1.5], ['sha256', {}, 's', 'i', 1]]) t(() => crypto.hkdfSync(...args));
// What a handler returns is cut at 16 KiB.
return JSON.stringify(out).length < 15000 ? out : out.map((entry) => crypto.createHash('md5').update(JSON.stringify(entry)).digest('hex').slice(0, 6));
