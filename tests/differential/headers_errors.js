const seen = [];
for (const init of [{ 'bad name': 1 }, { a: 'b\nc' }, [['a']], [1], 'text', 5, { '': 1 }, { a: '\u0100' }]) {
  try { new Headers(init); seen.push('none'); } catch (e) { seen.push([e.name, e.message]); }
}
return [seen, [...new Headers([['a', 1], ['A', 2]])], [...new Headers(new Headers({ q: 'r' }))], [...new Headers(null)]];
