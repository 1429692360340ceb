const t = setTimeout(() => {}, 1000);
const seen = [typeof t, t.constructor.name, t.hasRef(), t.unref() === t, t.hasRef(), t.ref() === t, t.hasRef(), typeof t[Symbol.toPrimitive](), typeof +t, t.refresh() === t, typeof t.close];
clearTimeout(t);
const byNumber = setTimeout(() => seen.push('no'), 1); clearTimeout(+byNumber);
const byText = setTimeout(() => seen.push('no'), 1); clearTimeout(String(+byText));
const closed = setTimeout(() => seen.push('no'), 1); closed.close();
const i = setInterval(() => {}, 1000); seen.push(i.constructor.name, typeof i); clearInterval(i);
const m = setImmediate((x) => seen.push(['immediate', x]), 7); seen.push(m.constructor.name, typeof m.hasRef);
clearImmediate(setImmediate(() => seen.push('no')));
for (const bad of [undefined, null, 'code', 5, {}]) for (const f of [setTimeout, setInterval, setImmediate]) try { f(bad, 1); seen.push('accepted'); } catch (e) { seen.push([e.name, e.code, e.message]); }
await new Promise((r) => setTimeout(r, 20));
return seen;
