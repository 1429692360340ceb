// OpenSSL's queue of errors may still hold those of an earlier script: this takes them out.
try { crypto.createPrivateKey('-'); } catch {}
const told = (e) => [e.name, e.message, e.code ?? null, e.library ?? null, e.reason ?? null];
const shown = (v) => (Buffer.isBuffer(v) ? v.toString('hex') : v instanceof ArrayBuffer ? ['ab', Buffer.from(v).toString('hex')] : typeof v === 'bigint' ? `${v}n` : v === undefined ? 'undefined' : v);
const out = [];
const t = (run) => { try { out.push(shown(run())); } catch (e) { out.push(told(e)); } };
for (const encoding of [undefined, null, '', 'hex', 'HEX', 'base64', 'base64url', 'latin1', 'binary', 'ascii', 'utf8', 'ucs2', 'utf16le', 'buffer', 'nope', 5]) t(() => crypto.createHash('sha256').update('a').digest(encoding));
t(() => crypto.createHash('md5').digest() instanceof Buffer);
t(() => { const h = crypto.createHash('md5'); h.digest(); return h.digest(); });
t(() => { const h = crypto.createHash('md5'); h.digest(); return h.update('a'); });
t(() => { const h = crypto.createHash('md5'); h.digest(); return h.copy(); });
t(() => { const h = crypto.createHash('md5'); return h.update('a') === h; });
t(() => typeof crypto.createHash('md5').update('').update('').digest('hex'));
t(() => crypto.createHash('md5') instanceof crypto.Hash);
t(() => crypto.createHmac('md5', 'k') instanceof crypto.Hmac);
t(() => new crypto.Hash('md5').update('a').digest('hex'));
// What a handler returns is cut at 16 KiB.
return JSON.stringify(out).length < 15000 ? out : out.map((entry) => crypto.createHash('md5').update(JSON.stringify(entry)).digest('hex').slice(0, 6));
