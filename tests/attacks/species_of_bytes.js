// Tries: `Symbol.species` and `constructor` of typed arrays, for the buffer through which Python is called
// Meets: no method is called on it that asks for a species
const seen = []; const Real8 = Uint8Array;
try { crypto.randomUUID(); Buffer.from('x'); crypto.createHash('md5') } catch {}
class Spy extends Real8 { constructor(...all) { super(...all); seen.push(all[0], this.buffer) } }
function attack() {
  const before = Object.getOwnPropertyDescriptor(Real8.prototype, 'constructor');
  crypto.randomUUID();
  Object.defineProperty(Real8.prototype, 'constructor', { configurable: true, get() { return { [Symbol.species]: Spy } } });
  try { crypto.randomUUID() } catch {}
  try { crypto.createHash('md5').update('x').digest() } catch {}
  Object.defineProperty(Real8.prototype, 'constructor', before);
  return seen.filter(isShared).map((o) => 'the shared buffer');
}
