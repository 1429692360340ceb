console.log({}, [], { a: 1, 'b-c': 2, 3: 'x', [Symbol('k')]: 1 }, [1, 'two', [3, [4, [5, [6]]]]]);
console.log({ a: { b: { c: { d: {} } } }, e: { f: { g: [] } } });
console.log({ long: 'x'.repeat(100), list: ['a'.repeat(30), 'b'.repeat(30), 'c'.repeat(30)] });
console.log({ first: 'a somewhat long value here', second: 'another rather long value', third: 3 });
console.log({ get a() { return 1; }, set b(v) {}, get c() { return 1; }, set c(v) {} }, { f: function () {}, g: () => {}, h: async () => {}, *i() {}, j: class X extends Map {}, k: class {} });
console.log(Object.create(null), Object.create({ constructor: null }), Object.assign(Object.create(null), { a: 1 }), [undefined, null, , 1, , , 2]);
console.log(Object.assign([1, 2], { extra: true, '-1': 2 }), { undefined: undefined }, { 'a b': { 'c\'d': "e" } });
