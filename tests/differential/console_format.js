console.log('%s is %d years and %i, %f', 'Bob', 42.5, 42.9, '1.5', 'extra', { a: 1 });
console.log('%j %o %O %%', { a: [1] }, { f() {} }, { a: { b: { c: { d: 1 } } } });
console.log('%c styled', 'color: red'); console.log('100%', 5); console.log('%s', null, undefined, Symbol('q'), 5n, -0, { a: 1 }, [1, [2]], class A {}, () => {});
console.log('%d', '0x10', 'x', {}); console.log('%x', 1); console.log('%s'); console.log(5, '%s', 'x'); console.log('%s', { toString() { return 'custom'; } }, new Error('m').message, new (class Foo { toString() { return 'foo!'; } })());
console.log('%i', 5n, '%i', 'abc'); console.log('%j', (() => { const o = {}; o.o = o; return o; })());
