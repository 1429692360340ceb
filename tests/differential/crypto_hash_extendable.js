// OpenSSL's queue of errors may still hold those of an earlier script: this takes them out.
try { crypto.createPrivateKey('-'); } catch {}
const told = (e) => [e.name, e.message, e.code ?? null, e.library ?? null, e.reason ?? null];
const shown = (v) => (Buffer.isBuffer(v) ? v.toString('hex') : v instanceof ArrayBuffer ? ['ab', Buffer.from(v).toString('hex')] : typeof v === 'bigint' ? `${v}n` : v === undefined ? 'undefined' : v);
const out = [];
const t = (run) => { try { out.push(shown(run())); } catch (e) { out.push(told(e)); } };
for (const outputLength of [undefined, 0, 1, 16, 32, 33, 100, 1000]) for (const name of ['shake128', 'shake256', 'SHAKE256']) t(() => crypto.createHash(name, { outputLength }).update('x').digest('hex'));
for (const outputLength of [-1, 1.5, '4', null, NaN, 2 ** 32]) t(() => crypto.createHash('shake128', { outputLength }));
for (const outputLength of [0, 16, 31, 32, 33]) t(() => crypto.createHash('sha256', { outputLength }).update('x').digest('hex'));
for (const options of [null, 5, 'x', {}, []]) t(() => crypto.createHash('sha1', options).update('x').digest('hex'));
// What a handler returns is cut at 16 KiB.
return JSON.stringify(out).length < 15000 ? out : out.map((entry) => crypto.createHash('md5').update(JSON.stringify(entry)).digest('hex').slice(0, 6));
