const log = [];
const p = new Proxy({ a: 1 }, { get(t, k, r) { log.push(`get ${String(k)}`); return Reflect.get(t, k, r); }, has(t, k) { log.push(`has ${String(k)}`); return k in t; }, ownKeys(t) { log.push('ownKeys'); return Reflect.ownKeys(t); }, set(t, k, v) { log.push(`set ${k}`); t[k] = v; return true; }, deleteProperty(t, k) { log.push(`delete ${k}`); return delete t[k]; } });
p.a; 'a' in p; Object.keys(p); p.b = 2; delete p.b; JSON.stringify(p); ({ ...p });
const sym = Symbol.for('shared'); const o = { [sym]: 1, [Symbol.toPrimitive]: (hint) => (hint === 'number' ? 42 : hint) };
class Even { static [Symbol.hasInstance](n) { return n % 2 === 0; } } const it = { *[Symbol.iterator]() { yield* [1, 2, 3]; } }; const rev = Proxy.revocable({}, {}); rev.revoke();
const wm = new WeakMap(); const key = {}; wm.set(key, 'v');
return [log, Symbol.keyFor(sym), Object.getOwnPropertySymbols(o).length, +o, `${o}`, o + '', 2 instanceof Even, [...it], Math.max(...it), wm.get(key), wm.has({}), (() => { try { rev.proxy.x; } catch (e) { return [e.name, e.message]; } })(), Reflect.ownKeys({ b: 1, 2: 1, a: 1, 1: 1, [sym]: 1 }).map(String), Object.getOwnPropertyDescriptor({ get x() { return 1; } }, 'x').set === undefined, Reflect.apply(Math.max, null, [1, 3]), Reflect.has({ x: 1 }, 'x'), Object.is(NaN, NaN), Symbol('d').description, [Symbol.asyncIterator, Symbol.species].map(String)];
