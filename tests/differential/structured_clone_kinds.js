const original = { d: new Date(5), r: /x/gi, m: new Map([[{ k: 1 }, new Set([1])]]), e: new TypeError('t', { cause: 1 }), b: new Uint8Array([1, 2]).subarray(1), n: new Number(3), s: new String('s'), u: undefined, big: 5n, nan: NaN, zero: -0, sparse: [1, , 3], buf: new ArrayBuffer(3) };
original.self = original; const c = structuredClone(original);
const shared = { x: 1 }; const two = structuredClone([shared, shared]);
const t = new ArrayBuffer(8); const moved = structuredClone({ t }, { transfer: [t] });
class K { constructor() { this.a = 1; } get g() { return 1; } m() {} }
const k = structuredClone(new K());
return [c.self === c, c.d instanceof Date, +c.d, String(c.r), c.r.lastIndex, [...c.m][0][0], [...[...c.m][0][1]], c.e.name, c.e.message, c.e instanceof TypeError, [...c.b], c.b.byteOffset, typeof c.n, c.n + 1, c.s.length, 'u' in c, String(c.big), Object.is(c.zero, -0), 1 in c.sparse, c.buf.byteLength, two[0] === two[1], t.byteLength, moved.t.byteLength, Object.keys(k), k.constructor.name, structuredClone('x'), structuredClone(null), structuredClone({ get a() { return 5; } }).a, Object.getPrototypeOf(structuredClone(Object.create({ inherited: 1 }))) === Object.prototype, structuredClone(Object.defineProperty({}, 'hidden', { value: 1, enumerable: false })).hidden === undefined];
