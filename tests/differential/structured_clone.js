const date = new Date(5); const shared = { s: 1 };
class K { constructor() { this.own = 1; } get g() { return 2; } }
const src = { a: [1, , 3], d: date, r: /x/gi, m: new Map([[shared, new Set([1, shared])]]), u: undefined, n: null, big: 10n, k: new K(), e: new RangeError('bad', { cause: 'c' }), t: new Uint8Array([1, 2]).subarray(1), s1: shared, s2: shared, box: [Object(1), Object('s'), Object(false)], nan: NaN, z: -0 };
src.self = src;
const c = structuredClone(src);
console.log(c.a, c.d, c.r, c.m, c.big, c.k, c.t, c.box, c.nan, c.z, c.u);
return [c.self === c, c.s1 === c.s2, c.s1 !== shared, c.d !== date, c.d.getTime(), c.e.name, c.e.message, c.e.cause, c.e instanceof RangeError, c.k instanceof K, c.k.constructor === Object, 1 in c.a, c.t.buffer.byteLength, [...c.m.keys()][0] === c.s1];
