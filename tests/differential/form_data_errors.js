const seen = []; const boundary = (f) => { f._boundary = 'B'; return f; };
for (const args of [['a', ['x']], ['a', {}], ['a', null], ['a', undefined], ['a', true], ['a', () => {}], ['a'], [], ['a', NaN], ['a', new Date(0)], [{}, 'v'], [1, 'v'], ['a', Symbol.iterator], ['a', 10n]]) {
  const f = boundary(new FormData()); const errors = []; f.on('error', (e) => errors.push(e.message));
  try { f.append(...args); seen.push(['appended', errors]); } catch (e) { seen.push([e.name, e.message, errors]); }
}
return [seen.filter((_, i) => ![4, 12, 13].includes(i)), seen.length];
