// Tries: `RegExp.prototype.exec`, `test`, `Symbol.replace`, `split`, `match` replaced before URL, fetch, console and Buffer use them
// Meets: strings of the event alone pass through them
const seen = []; const R = Reflect.apply;
for (const name of ['exec', 'test', Symbol.replace, Symbol.split, Symbol.match, Symbol.matchAll, Symbol.search]) {
  const real = RegExp.prototype[name]; RegExp.prototype[name] = function (...all) { seen.push(this, ...all); return R(real, this, all) };
}
async function attack() { touchAll(); await null; return seen.filter((o) => isHosts(o) || isShared(o) || /^\[[01],\d+,/.test(String(o))).map(String) }
