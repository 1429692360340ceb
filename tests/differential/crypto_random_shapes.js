// OpenSSL's queue of errors may still hold those of an earlier script: this takes them out.
try { crypto.createPrivateKey('-'); } catch {}
const out = [];
const t = (run) => { try { out.push(run()); } catch (e) { out.push([e.name, e.message, e.code ?? null]); } };
for (const size of [0, 1, 16, 1.9, -0, 70000, 3 << 20]) t(() => crypto.randomBytes(size).length);
for (const size of [-1, NaN, '1', undefined, null, 2 ** 31, 2 ** 53, Infinity, {}, 5n]) t(() => crypto.randomBytes(size));
t(() => crypto.randomBytes(8, 'x'));
t(() => Buffer.isBuffer(crypto.randomBytes(3)));
t(() => crypto.randomBytes(16).equals(crypto.randomBytes(16)));
for (const args of [[10], [5, 6], [-3, 3], [0, 2 ** 48 - 1], [Number.MIN_SAFE_INTEGER, Number.MIN_SAFE_INTEGER + 5]]) t(() => { const [min, max] = args.length > 1 ? args : [0, args[0]]; for (let i = 0; i < 200; i++) { const n = crypto.randomInt(...args); if (!(n >= min && n < max && Number.isInteger(n))) return n; } return 'in range'; });
for (const args of [[0], [5, 5], [5, 4], [1.5], ['1'], [0, 2 ** 48], [0, 2 ** 53], [undefined], [null, 5], [-1], [2 ** 49]]) t(() => crypto.randomInt(...args));
t(() => crypto.randomInt(5, 'x'));
t(() => [...new Set(Array.from({ length: 400 }, () => crypto.randomInt(4)))].sort());
t(() => /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(crypto.randomUUID()));
t(() => /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(crypto.randomUUIDv7()));
t(() => Math.abs(parseInt(crypto.randomUUIDv7().replace('-', '').slice(0, 12), 16) - Date.now()) < 5000);
for (const options of [{}, { disableEntropyCache: true }, { disableEntropyCache: 1 }, null, 5, 'x']) t(() => crypto.randomUUID(options).length);
return out;
