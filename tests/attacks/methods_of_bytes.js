// Tries: methods and getters of typed arrays and ArrayBuffer replaced, for the same buffer
// Meets: they were captured before
const seen = []; const R = Reflect.apply; const Base = Object.getPrototypeOf(Uint8Array.prototype);
for (const proto of [Base, ArrayBuffer.prototype, DataView.prototype]) for (const name of own(proto)) {
  const d = Object.getOwnPropertyDescriptor(proto, name);
  if (name === 'constructor' || !d.configurable) continue;
  if (typeof d.value === 'function') Object.defineProperty(proto, name, { ...d, value: function (...all) { seen.push(this, ...all); try { seen.push(this.buffer) } catch {} return R(d.value, this, all) } });
  else if (d.get && name !== 'buffer' && name !== 'byteLength') Object.defineProperty(proto, name, { ...d, get() { seen.push(this); return R(d.get, this, []) } });
}
function attack() { touchAll(); return seen.filter((o) => isShared(o) || isShared(o?.buffer)).map(() => 'the shared buffer') }
