class A { constructor() { this.x = 1; this.#p = 2; } #p; get y() { return this.#p; } static s = 1; }
class B extends A { constructor() { super(); this.z = [1]; } }
class T { get [Symbol.toStringTag]() { return 'Tagged'; } }
class M extends Map {} class L extends Array {} class E2 extends Error { constructor(m) { super(m); this.name = 'E2'; this.code = 7; } }
console.log(new A(), new B(), A, B, new T(), new M([[1, 2]]), L.from([1]), new (class {})(), Object.create(A.prototype), new (class extends null { constructor() { return Object.create(new.target.prototype); } })());
const c = { name: 'c' }; c.self = c; c.list = [c, { c }]; console.log(c);
console.log({ [Symbol.for('nodejs.util.inspect.custom')]: () => 'CUSTOM' }, { [Symbol.toStringTag]: 'tagged', a: 1 }, new Proxy({ a: 1 }, {}), new Proxy(() => {}, {}));
console.log(function named() {}, function () {}, Object.assign(() => {}, { a: 1 }), Math.max, Math, JSON, Reflect, Symbol);
