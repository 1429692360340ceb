// OpenSSL's queue of errors may still hold those of an earlier script: this takes them out.
try { crypto.createPrivateKey('-'); } catch {}
const told = (e) => [e.name, e.message, e.code ?? null, e.library ?? null, e.reason ?? null];
const shown = (v) => (Buffer.isBuffer(v) ? v.toString('hex') : v instanceof ArrayBuffer ? ['ab', Buffer.from(v).toString('hex')] : typeof v === 'bigint' ? `${v}n` : v === undefined ? 'undefined' : v);
const out = [];
const t = (run) => { try { out.push(shown(run())); } catch (e) { out.push(told(e)); } };
for (const options of [undefined, {}, { N: 2 }, { N: 1024, r: 8, p: 16 }, { cost: 16, blockSize: 1, parallelization: 1 }, { N: 0, r: 0, p: 0, maxmem: 0 }, { r: 1, p: 3 }]) t(() => crypto.scryptSync('password', 'NaCl', 64, options));
for (const [password, salt, length] of [['', '', 64], [Buffer.from([1]), new Uint8Array(2), 5], ['pleaseletmein', 'SodiumChloride', 64], ['p', 's', 0], ['p', 's', 1000]]) t(() => crypto.scryptSync(password, salt, length, { N: 16 }));
for (const options of [{ N: 2 ** 20 }, { maxmem: 1024 }, { N: 16, cost: 16 }, { r: 1, blockSize: 1 }, { p: 1, parallelization: 1 }, { N: 'x' }, { N: -1 }, { r: 1.5 }, { maxmem: -1 }, { maxmem: 'x' }, { p: 2 ** 30 }, { N: 2 ** 32 }]) t(() => crypto.scryptSync('p', 's', 8, options));
for (const args of [[undefined, 's', 1], ['p', 5, 1], ['p', 's', -1], ['p', 's', '1'], ['p', 's', 2 ** 31], ['p', 's']]) t(() => crypto.scryptSync(...args));
// What a handler returns is cut at 16 KiB.
return JSON.stringify(out).length < 15000 ? out : out.map((entry) => crypto.createHash('md5').update(JSON.stringify(entry)).digest('hex').slice(0, 6));
