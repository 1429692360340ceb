// OpenSSL's queue of errors may still hold those of an earlier script: this takes them out.
try { crypto.createPrivateKey('-'); } catch {}
const told = (e) => [e.name, e.message, e.code ?? null, e.library ?? null, e.reason ?? null];
const shown = (v) => (Buffer.isBuffer(v) ? v.toString('hex') : v instanceof ArrayBuffer ? ['ab', Buffer.from(v).toString('hex')] : typeof v === 'bigint' ? `${v}n` : v === undefined ? 'undefined' : v);
const out = [];
const t = (run) => { try { out.push(shown(run())); } catch (e) { out.push(told(e)); } };
const a = Buffer.from('abc');
for (const [x, y] of [[a, Buffer.from('abc')], [a, Buffer.from('abd')], [a, new Uint8Array([97, 98, 99])], [a.buffer.slice(a.byteOffset, a.byteOffset + 3), a], [new Uint16Array(1), new Uint8Array(2)], [Buffer.alloc(0), Buffer.alloc(0)], [new DataView(new ArrayBuffer(2)), Buffer.alloc(2)]]) t(() => crypto.timingSafeEqual(x, y));
for (const [x, y] of [[a, Buffer.from('ab')], ['abc', a], [a, 'abc'], [undefined, a], [a, null], [5, 5], [[], []], [{}, a]]) t(() => crypto.timingSafeEqual(x, y));
// What a handler returns is cut at 16 KiB.
return JSON.stringify(out).length < 15000 ? out : out.map((entry) => crypto.createHash('md5').update(JSON.stringify(entry)).digest('hex').slice(0, 6));
