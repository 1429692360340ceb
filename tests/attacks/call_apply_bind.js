// Tries: `Function.prototype.call`, `apply`, `bind` and `Reflect.*` replaced, for what they are called with
// Meets: what was captured before is called
const seen = []; const R = Reflect.apply;
for (const name of ['call', 'apply', 'bind']) { const real = Function.prototype[name]; Function.prototype[name] = function (...all) { seen.push(this, ...all); return R(real, this, all) } }
for (const name of ['apply', 'construct', 'get', 'set', 'ownKeys', 'defineProperty', 'has']) { const real = Reflect[name]; Reflect[name] = function (...all) { seen.push(...all); return real(...all) } }
async function attack() { touchAll(); await null; touchAll(); return seen.filter((o) => isHosts(o) || isShared(o)).map((o) => 'host') }
