// OpenSSL's queue of errors may still hold those of an earlier script: this takes them out.
try { crypto.createPrivateKey('-'); } catch {}
const order = [];
const waits = [];
const told = (label) => { let done; waits.push(new Promise((resolve) => { done = resolve; })); return (error, value) => { order.push([label, error === null || error === undefined ? null : [error.name, error.message, error.code ?? null], value === undefined ? null : Buffer.from(value).toString('hex')]); done(); }; };
crypto.pbkdf2('p', 's', 1, 8, 'sha1', told('pbkdf2'));
await waits.at(-1);
crypto.scrypt('p', 's', 8, { N: 16 }, told('scrypt'));
await waits.at(-1);
crypto.scrypt('p', 's', 8, told('scrypt defaults'));
await waits.at(-1);
crypto.hkdf('sha256', 'k', 's', 'i', 8, told('hkdf'));
await waits.at(-1);
for (const run of [() => crypto.pbkdf2('p', 's', 1, 8, 'sha1'), () => crypto.pbkdf2('p', 's', 1, 8, told('never')), () => crypto.pbkdf2('p', 's', 0, 8, 'sha1', told('never')), () => crypto.scrypt('p', 's', 8), () => crypto.hkdf('sha256', 'k', 's', 'i', 8), () => crypto.hkdf('sha256', 'k', 's', 'i', 8, 5), () => crypto.pbkdf2('p', 's', 1, 8, 'nope', () => 1)]) { try { run(); order.push('no error'); } catch (e) { order.push([e.name, e.message, e.code ?? null]); } }
let sync = true;
await new Promise((done) => { crypto.pbkdf2('p', 's', 1, 8, 'sha256', () => { order.push(['later', !sync]); done(); }); sync = false; });
return order;
