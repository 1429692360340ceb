// Tries: `Object.defineProperty` replaced before modules are loaded that call it for what they share
// Meets: modules get capabilities of the attempt that runs, and nothing else of ours
const seen = []; const real = Object.defineProperty, realAll = Object.defineProperties;
Object.defineProperty = function (o, k, d) { seen.push(o, d, d && d.value); try { seen.push(d.get && d.get()) } catch {} return real(o, k, d) };
Object.defineProperties = function (o, d) { seen.push(o, d); return realAll(o, d) };
async function attack() { touchAll(); await null; touchAll(); return seen.filter((o) => isHosts(o) || isShared(o)).map(String) }
