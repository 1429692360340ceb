// Tries: `Symbol.species`, `constructor` and `then` of Promise, for the functions that settle the host's promises
// Meets: `await` on a native promise uses none of them
const seen = []; const R = Reflect.apply; const realThen = Promise.prototype.then; const Native = Promise;
class Spy extends Native { constructor(f) { super((a, b) => { seen.push(a, b); f(a, b) }) } }
Object.defineProperty(Native, Symbol.species, { get() { return Spy } });
Native.prototype.then = function (...all) { seen.push(this, ...all); return R(realThen, this, all) };
async function attack() { touchAll(); await null; return seen.filter((o) => isHosts(o)).map(() => 'host') }
