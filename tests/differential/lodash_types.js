const values = [undefined, null, 0, -0, NaN, Infinity, '', 'a', true, Symbol('s'), 5n, [], {}, () => {}, class A {}, async () => {}, function* g() {}, new Date(0), /a/, new Error('x'), new Map(), new Set(), new WeakMap(), new WeakSet(), Buffer.from('a'), new ArrayBuffer(2), new Uint8Array(1), Promise.resolve(), Object.create(null), new Proxy({}, {}), Object(1), Object('s')];
const checks = Object.keys(_).filter((name) => /^is[A-Z]/.test(name) && _[name].length === 1).sort();
return [
  checks, values.map((value) => checks.filter((name) => _[name](value)).join(' ')),
  values.map((value) => { try { return [_.toString(value), _.toNumber(value), _.toInteger(value)].map(String); } catch (error) { return error.message; } }),
  _.isNative(Array.prototype.push), _.isNative(fetch), _.VERSION, _.name, Object.keys(_.templateSettings).sort(), typeof _.runInContext().map,
];
