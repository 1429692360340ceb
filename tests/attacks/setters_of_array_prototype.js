// Tries: setters on `Array.prototype[0]` to `[99]`, and its methods and iterator replaced
// Meets: nothing of ours is stored into an array
const seen = []; const R = Reflect.apply;
for (let i = 0; i < 100; i += 1) Object.defineProperty(Array.prototype, i, { configurable: true, get() { return undefined }, set(v) { seen[seen.length] = v } });
for (const name of ['push', 'pop', 'shift', 'map', 'filter', 'forEach', 'join', 'slice', 'concat', 'every', 'reduce', 'indexOf']) {
  const real = Array.prototype[name]; Array.prototype[name] = function (...all) { seen[seen.length] = this; return R(real, this, all) };
}
const iterate = Array.prototype[Symbol.iterator];
Array.prototype[Symbol.iterator] = function () { seen[seen.length] = this; return R(iterate, this, []) };
async function attack() { try { touchAll() } catch {} await null;
  for (let i = 0; i < seen.length; i += 1) if (isHosts(seen[i]) || isShared(seen[i])) return ['host'];
  return [] }
