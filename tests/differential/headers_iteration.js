const h = new Headers([['Zeta', '1'], ['alpha', '2'], ['Mid', '3'], ['ALPHA', '4']]); const seen = [];
for (const [k, v] of h) seen.push(k, v); h.forEach(function (v, k, all) { seen.push([v, k, all === h, this.x]); }, { x: 1 });
const it = h.entries(); seen.push(typeof it.next, Object.prototype.toString.call(it), it.next(), [...it], it.next(), it[Symbol.iterator]() === it);
const live = h.keys(); live.next(); h.delete('mid'); seen.push([...live]);
try { h.forEach('x'); } catch (e) { seen.push([e.name, e.message]); }
for (const f of [() => h.get(), () => h.get(''), () => h.get('a b'), () => h.set('x'), () => h.has('é'), () => h.append('x', 'é\u0100'), () => h.delete('\n'), () => h.get(null), () => h.set('x', null), () => h.set('y', undefined)]) { try { seen.push(f() ?? null); } catch (e) { seen.push([e.name, e.message]); } }
return [seen, h.raw(), Object.getOwnPropertyNames(Headers.prototype).sort(), Headers.length, Object.prototype.toString.call(h), JSON.stringify(h), Object.keys(h)];
