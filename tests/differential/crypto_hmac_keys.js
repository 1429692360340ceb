// OpenSSL's queue of errors may still hold those of an earlier script: this takes them out.
try { crypto.createPrivateKey('-'); } catch {}
const told = (e) => [e.name, e.message, e.code ?? null, e.library ?? null, e.reason ?? null];
const shown = (v) => (Buffer.isBuffer(v) ? v.toString('hex') : v instanceof ArrayBuffer ? ['ab', Buffer.from(v).toString('hex')] : typeof v === 'bigint' ? `${v}n` : v === undefined ? 'undefined' : v);
const out = [];
const t = (run) => { try { out.push(shown(run())); } catch (e) { out.push(told(e)); } };
for (const size of [0, 1, 20, 63, 64, 65, 127, 128, 129, 136, 137, 300]) for (const name of ['md5', 'sha1', 'sha256', 'sha384', 'sha512', 'sha3-256', 'ripemd160', 'sha512-256', 'sm3', 'blake2b512', 'md5-sha1']) t(() => crypto.createHmac(name, Buffer.alloc(size, 0x61)).update('message').digest('hex'));
for (const key of ['', 'key', 'kéy', Buffer.from('key'), new Uint16Array([1, 2]), new ArrayBuffer(3), new DataView(new ArrayBuffer(2)), crypto.createSecretKey(Buffer.from('key'))]) t(() => crypto.createHmac('sha256', key).update('m').digest('hex'));
t(() => crypto.createHmac('sha256', '6b6579', { encoding: 'hex' }).update('m').digest('hex'));
for (const key of [undefined, null, 5, {}, [], true, 5n]) t(() => crypto.createHmac('sha256', key));
for (const name of ['nope', '', undefined, 5, 'sha-256', 'RSA-SHA256']) t(() => crypto.createHmac(name, 'k').update('a').digest('hex'));
// What a handler returns is cut at 16 KiB.
return JSON.stringify(out).length < 15000 ? out : out.map((entry) => crypto.createHash('md5').update(JSON.stringify(entry)).digest('hex').slice(0, 6));
