const dates = xml({ at: new Date(0), list: [1, 2, 3], nested: { a: { b: 'c' } }, f: () => 'x' });
const out = [dates];
for (const value of [[{ a: 'x' }, 'text', { b: true }], { 'ns:a': { _attr: { 'xml:lang': 'de', q: '"&<>\'' } } }, { a: Buffer.from('raw') }, { a: Symbol.iterator }, { _attr: {} }, [[{ a: 1 }]], { a: [[{ b: 1 }]] }]) {
  try {
    out.push(xml(value, { indent: false }));
  } catch (error) {
    out.push([error.name, error.message]);
  }
}
return out;
