const log = [];
const sleep = (ms, value) => new Promise((r) => setTimeout(() => r(value), ms));
log.push(await Promise.race([sleep(30, 'slow'), sleep(2, 'fast')]));
log.push(await Promise.all([sleep(3, 'a'), sleep(1, 'b'), 'c']));
log.push((await Promise.allSettled([sleep(1, 1), Promise.reject(new Error('x'))])).map((r) => r.status));
log.push(await Promise.any([Promise.reject(1), sleep(2, 'any')]));
try { await Promise.any([Promise.reject(1), Promise.reject(2)]); } catch (e) { log.push([e.name, e.message, e.errors]); }
const timeout = (p, ms) => Promise.race([p, new Promise((_, no) => setTimeout(() => no(new Error(`timed out after ${ms}`)), ms))]);
try { await timeout(sleep(100), 5); } catch (e) { log.push(e.message); }
let tries = 0; const flaky = async () => { if (++tries < 3) throw new Error(`try ${tries}`); return tries; };
const retry = async (f, n) => { for (let i = 1; ; i++) try { return await f(); } catch (e) { if (i >= n) throw e; await sleep(i); } };
log.push(await retry(flaky, 5));
const { promise, resolve } = Promise.withResolvers(); setTimeout(resolve, 1, 'resolved'); log.push(await promise);
log.push(await Promise.try(() => 5), await Promise.try(() => { throw new Error('in try'); }).catch((e) => e.message));
for await (const x of (async function* () { yield 1; await sleep(1); yield 2; })()) log.push(x);
return log;
