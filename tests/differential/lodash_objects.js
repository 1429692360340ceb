class Point { constructor() { this.x = 1; } get double() { return this.x * 2; } }
Point.prototype.inherited = 5;
const circular = { a: 1 };
circular.self = circular;
const copied = _.cloneDeep({ date: new Date(5), re: /a/gi, map: new Map([[1, { a: 1 }]]), set: new Set([1]), buffer: Buffer.from('b'), typed: new Uint8Array([1, 2]), symbol: { [Symbol.for('s')]: 1 }, point: new Point(), error: new Error('e') });
const merged = _.merge({ a: [{ b: 2 }, { d: 4 }], buf: null }, { a: [{ c: 3 }, { e: 5 }], buf: Buffer.from('x'), f: undefined });
const target = {};
_.set(target, 'a[0].b["c.d"]', 1); _.set(target, ['x', 'y'], 2); _.unset(target, 'x.y'); _.update(target, 'n', (n) => (n ?? 0) + 1);
return [
  copied.date.getTime(), `${copied.re}`, copied.map.get(1), copied.set.has(1), Buffer.isBuffer(copied.buffer), copied.typed, copied.symbol[Symbol.for('s')], copied.point.constructor.name, copied.error,
  _.cloneDeep(circular).self.self.a, merged, target, _.get(target, 'a[0].b["c.d"]'), _.has(target, 'a[0].b'), _.result({ f: () => 5 }, 'f'), _.get(null, 'a', 'default'),
  _.defaultsDeep({ a: { b: 1 } }, { a: { b: 2, c: 3 } }), _.pickBy({ a: 1, b: null }, _.isNumber), _.omit({ a: 1, b: { c: 2, d: 3 } }, ['a', 'b.c']), _.invert({ a: 1 }), _.mapKeys({ a: 1 }, (v, k) => k + v), _.transform([1, 2, 3], (all, n) => { all.push(n * n); return n < 2; }),
  _.keys(new Point()), _.keysIn(new Point()), _.toPairs(new Map([['k', 1]])), _.findKey({ a: { b: 1 } }, { b: 1 }), _.isEqual({ a: [1, { b: new Date(0) }] }, { a: [1, { b: new Date(0) }] }), _.isEqual(circular, _.cloneDeep(circular)), _.isMatch({ a: { b: 1, c: 2 } }, { a: { c: 2 } }), _.isEmpty(new Map()), _.isPlainObject(new Point()), _.size({ a: 1 }),
];
