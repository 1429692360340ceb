const seen = []; const url = `${receiver}/r`; const base = new Request(url, { method: 'POST', body: 'one', headers: { A: '1' } });
const copy = new Request(base); seen.push(copy.method, copy.url === url, [...copy.headers], base.bodyUsed);
const over = new Request(base.clone(), { method: 'PUT', headers: { B: '2' }, body: 'two' }); seen.push(over.method, [...over.headers]);
seen.push(await (await fetch(base.clone())).json(), await (await fetch(over)).json(), await (await fetch(base, { headers: { C: '3' } })).json(), base.bodyUsed);
await fetch(base).then(async (r) => seen.push(await r.json()), (e) => seen.push([e.name, e.message]));
const got = new Request(url); seen.push(await (await fetch(got)).json(), await (await fetch(got)).json());
const used = new Request(url, { method: 'POST', body: 'u' }); await used.text(); await fetch(used).then(async (r) => seen.push(await r.json()), (e) => seen.push([e.name, e.message]));
try { used.clone(); } catch (e) { seen.push([e.name, e.message]); }
try { new Request(used); seen.push('made'); } catch (e) { seen.push([e.name, e.message]); }
return seen;
