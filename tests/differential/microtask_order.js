const log = [];
const tick = (n) => Promise.resolve().then(() => log.push(n));
(async () => { log.push('a1'); await null; log.push('a2'); await tick('t1'); log.push('a3'); })();
(async () => { log.push('b1'); await { then(r) { log.push('thenable'); r(); } }; log.push('b2'); })();
queueMicrotask(() => log.push('q1')); Promise.resolve().then(() => { log.push('p1'); queueMicrotask(() => log.push('q2')); }).then(() => log.push('p2')); new Promise((r) => { log.push('executor'); r(); }).finally(() => log.push('finally')); Promise.reject(new Error('x')).catch(() => log.push('catch')); log.push('sync end');
await new Promise((r) => setTimeout(r, 5));
const lazy = { get then() { log.push('then read'); return undefined; } }; await lazy; class Sub extends Promise {} log.push(Sub.resolve(1) instanceof Sub, (await Sub.all([1, Sub.resolve(2)])).length); async function f() { try { return await Promise.reject(1); } catch (e) { return `caught ${e}`; } finally { log.push('fin'); } } log.push(await f()); async function* g() { try { yield 1; yield 2; } finally { log.push('gen closed'); } } for await (const x of g()) { log.push(x); break; }
return log;
