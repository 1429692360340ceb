const cacheMap = new Map(); let calls = 0;
const token = async () => { if (!cacheMap.has('t')) { cacheMap.set('t', (async () => { calls++; await new Promise((r) => setTimeout(r, 3)); return `token-${calls}`; })()); } return cacheMap.get('t'); };
const both = await Promise.all([token(), token(), token()]); cacheMap.delete('t'); const again = await token();
const limit = (n) => { let active = 0; const waiting = []; const next = () => { if (active >= n || !waiting.length) return; active++; const { f, resolve, reject } = waiting.shift(); f().then(resolve, reject).finally(() => { active--; next(); }); }; return (f) => new Promise((resolve, reject) => { waiting.push({ f, resolve, reject }); next(); }); };
let most = 0, now = 0; const run = limit(2); const results = await Promise.all([5, 4, 3, 2, 1].map((ms, i) => run(async () => { most = Math.max(most, ++now); await new Promise((r) => setTimeout(r, ms)); now--; return i; })));
const chunk = (a, n) => a.length ? [a.slice(0, n), ...chunk(a.slice(n), n)] : [];
return [both, again, calls, results, most, chunk([1, 2, 3, 4, 5], 2)];
