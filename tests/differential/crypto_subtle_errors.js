// OpenSSL's queue of errors may still hold those of an earlier script: this takes them out.
try { crypto.createPrivateKey('-'); } catch {}
const told = (e) => [e.name, e.message, typeof e.code === 'number' ? null : (e.code ?? null)];
const shown = (v) => (Buffer.isBuffer(v) ? v.toString('hex') : v instanceof ArrayBuffer ? ['ab', Buffer.from(v).toString('hex')] : typeof v === 'bigint' ? `${v}n` : v === undefined ? 'undefined' : v);
const out = [];
const t = async (run) => { try { out.push(shown(await run())); } catch (e) { out.push(told(e)); } };
const subtle = crypto.subtle;
for (const [name, count] of [['encrypt', 2], ['sign', 1], ['importKey', 3], ['digest', 0], ['verify', 3], ['deriveKey', 4], ['generateKey', 2], ['exportKey', 1], ['deriveBits', 1]]) await t(() => subtle[name](...Array(count).fill('x')));
await t(() => Object.getOwnPropertyNames(Object.getPrototypeOf(subtle)).filter((name) => ['encrypt', 'decrypt', 'sign', 'verify', 'digest', 'importKey', 'exportKey', 'generateKey', 'deriveBits', 'deriveKey', 'wrapKey', 'unwrapKey'].includes(name)).sort());
await t(() => new (subtle.constructor)());
const key = await subtle.importKey('raw', Buffer.from('key'), { name: 'HMAC', hash: 'SHA-256' }, true, ['sign']);
await t(() => [Object.prototype.toString.call(key), Object.keys(key), JSON.stringify(key)]);
await t(() => { key.usages.push('encrypt'); return key.type; });
await t(() => subtle.generateKey({ name: 'nope' }, true, ['sign']));
await t(() => subtle.importKey('raw', Buffer.from('k'), { name: 'nope' }, true, ['sign']));
// What a handler returns is cut at 16 KiB.
return JSON.stringify(out).length < 15000 ? out : out.map((entry) => crypto.createHash('md5').update(JSON.stringify(entry)).digest('hex').slice(0, 6));
