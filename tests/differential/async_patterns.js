const out = []; const sleep = (ms) => new Promise((r) => setTimeout(r, ms));
const pool = async (n, items, work) => { const queue = items.entries(); const results = []; await Promise.all(Array.from({ length: n }, async () => { for (const [i, x] of queue) results[i] = await work(x); })); return results; };
out.push(await pool(2, [4, 1, 3], async (x) => { await sleep(x); return x * 2; }));
const once = (f) => { let p; return () => (p ??= f()); }; let n = 0; const get = once(async () => { n++; await sleep(1); return 'v'; }); out.push(await Promise.all([get(), get()]), n);
const emitter = () => { const ls = {}; return { on(t, f) { (ls[t] ??= []).push(f); return this; }, emit(t, ...a) { (ls[t] ?? []).forEach((f) => f(...a)); } }; }; const em = emitter().on('x', (v) => out.push(['emitted', v])); em.emit('x', 5);
const asyncIter = { async *[Symbol.asyncIterator]() { for (let i = 0; i < 3; i++) { await sleep(1); yield i; } } }; for await (const i of asyncIter) out.push(i);
const cb = (x, done) => setTimeout(() => (x < 0 ? done(new Error('neg')) : done(null, x)), 1); const promisify = (f) => (...a) => new Promise((yes, no) => f(...a, (e, v) => (e ? no(e) : yes(v)))); out.push(await promisify(cb)(3)); try { await promisify(cb)(-1); } catch (e) { out.push(e.message); }
const reader = async function () { let state = 'start'; try { await sleep(1); throw new Error('inner'); } catch (e) { state = e.message; return state; } finally { out.push('finally'); } }; out.push(await reader());
const results = await Promise.allSettled([1, Promise.reject(new TypeError('no')), sleep(1)]); out.push(results.map((r) => r.status + (r.reason?.message ?? '')));
const unhandled = Promise.reject(new Error('handled later')); setTimeout(() => unhandled.catch(() => out.push('late catch')), 1); await sleep(10);
const ticks = []; process_like: for (const k of [1, 2]) { queueMicrotask(() => ticks.push(k)); } await null; out.push(ticks); return out;
