// Tries: all methods of `String.prototype` and `Number.prototype` replaced, for records on their way to the host
// Meets: records are put together by `+`
const seen = []; const R = Reflect.apply;
for (const proto of [String.prototype, Number.prototype]) for (const name of own(proto)) {
  const real = proto[name]; if (typeof real !== 'function' || name === 'constructor') continue;
  Object.defineProperty(proto, name, { configurable: true, writable: true, value: function (...all) { seen.push(`${typeof this === 'object' ? R(real === R ? real : String.prototype.valueOf ?? real, this, []) : this}`.slice(0, 20)); return R(real, this, all) } });
}
async function attack() { try { touchAll() } catch {} return seen.filter((text) => typeof text === 'string' && (text.startsWith('[0,') || text.startsWith('[1,'))) }
