// Tries: what lazy modules are given, by methods of V8's that they call, to act for another event or to read its answers
// Meets: it holds what scripts may do anyway, for the attempt that asks; an answer is its caller's alone
const seen = new Set();
const look = (o) => { try { if (o !== null && typeof o === 'object' && typeof own(o).find((k) => CAPABILITIES.includes(k)) === 'string') seen.add(o) } catch {} };
for (const [of, name] of [[Object, 'defineProperty'], [Object, 'keys'], [Object, 'getOwnPropertyNames'], [Object, 'assign'], [Object, 'freeze'], [Object, 'create']]) {
  const real = of[name];
  of[name] = function (...all) { all.forEach(look); return Reflect.apply(real, this, all) };
}
Object.defineProperty(Object.prototype, '__esModule', { get() { look(this); return undefined }, set() {}, configurable: true });
async function attack() {
  touchAll();
  const got = [];
  for (const one of seen) {
    for (const name of own(one)) if (!CAPABILITIES.includes(name)) got.push(String(name));
    for (const run of [() => one.enqueueTurn({}, () => {}), () => one.enqueueTurn(null, () => {})]) try { run(); got.push('a turn') } catch {}
    for (const operation of [-1, 2 ** 32 - 1]) try { got.push(`an answer of ${one.hostSync(operation, '').length}`) } catch {}
    if (isHosts(one.touch())) got.push('an attempt');
  }
  return got;
}
