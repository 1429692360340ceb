const h = new Headers(); const seen = [];
for (const value of ['', ' ', ' a ', '\ta\t', 'a,b', 5, true, null, undefined, ['x', 'y'], { toString: () => 'obj' }, 'caf\xe9', 'a\x7fb', 'a\x01', 'a\r', '\u2603', Symbol.iterator]) { try { h.set('v', value); seen.push(h.get('v')); } catch (e) { seen.push([e.name, e.message]); } }
for (const init of [undefined, null, {}, [], [['a', 'b'], ['a', 'c']], new Map([['k', 'v']]), new Headers({ z: 'y' }), new URLSearchParams('q=r'), { a: ['1', '2'] }, [new Set(['s', 't'])], { get a() { return 'getter'; } }, Object.create({ inherited: '1' }), [['a', 'b', 'c']], [[]], 'str', 1, true, () => {}, [['a', null]], { [Symbol('s')]: 'x', b: 1 }]) { try { seen.push(new Headers(init).raw()); } catch (e) { seen.push([e.name, e.message]); } }
return seen;
