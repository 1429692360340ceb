console.log(new Map([['a', 1], [{ k: 1 }, [1, 2]]]), new Set([1, 'x', { y: 1 }]), new Map(), new Set(), new WeakMap(), new WeakSet());
console.log(new Map([['deep', { a: { b: { c: 1 } } }]]), [new Map([[1, 2]])].entries());
console.log(new Promise(() => {}), (function () { return arguments; })(1, 2), globalThis === undefined);
console.log(new Array(5), Array.from({ length: 120 }, (_, i) => i), new Set(Array.from({ length: 101 }, (_, i) => i)));
console.log(Array.from({ length: 30 }, (_, i) => 'item' + i), Array.from({ length: 7 }, (_, i) => i * 1000), 'x'.repeat(10), Array.from({ length: 27 }, (_, i) => 1.5 * i));
console.log(new Float64Array(3), new BigInt64Array(1), [1.0, -1.5, 1e21, 1e-7], [[[[]]]], [[[{}]]], [[[{ a: 1 }]]]);
