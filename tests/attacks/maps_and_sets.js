// Tries: methods of Map, Set, WeakMap and WeakSet replaced, for the attempts that are kept in them
// Meets: attempts are kept by captured methods, and modules know them by tokens
const seen = []; const R = Reflect.apply;
const search = (o, depth) => { if (isHosts(o)) return true; if (!o || typeof o !== 'object' || depth > 2) return false; for (const k of own(o)) try { if (search(o[k], depth + 1)) return true } catch {} return false };
for (const Type of [Map, Set, WeakMap, WeakSet]) for (const name of ['get', 'set', 'has', 'add', 'delete', 'forEach', 'keys', 'values', 'entries']) {
  const real = Type.prototype[name]; if (!real) continue;
  Type.prototype[name] = function (...all) { for (const one of all) seen.push(one); const r = R(real, this, all); seen.push(r); return r };
}
async function attack() { touchAll(); await null; touchAll(); return seen.filter((o) => search(o, 0) || isShared(o)).map(() => 'host') }
