const e = new TextEncoder();
const into = (text, size) => { const u = new Uint8Array(size); return [e.encodeInto(text, u), [...u]]; };
return [e.encoding, [...e.encode('aé€😀')], e.encode().length, e.encode(undefined).length, [...e.encode(null)], [...e.encode(12)], [...e.encode('\ud800x')], into('aé€😀', 10), into('aé€😀', 5), into('😀', 3), into('', 2), into('\udc00', 4), Object.prototype.toString.call(e), e.encode('x') instanceof Uint8Array,
  (() => { try { e.encodeInto('a', []); } catch (x) { return [x.name, x.code]; } })(), (() => { try { TextEncoder(); } catch (x) { return x.name; } })()];
