const collected = (stream) => new Promise((resolve) => {
  const chunks = [];
  stream.on('data', (chunk) => chunks.push(chunk)).on('end', () => resolve(chunks));
});
const inner = xml.element({ _attr: { id: 1 } });
const stream = xml({ top: inner }, { stream: true, indent: ' ' });
const done = collected(stream);
inner.push({ item: 'a & b' });
inner.push({ item: [{ deep: 1 }] });
setTimeout(() => inner.close({ last: 'x' }), 1);
const plain = collected(xml([{ a: 1 }, { b: 2 }], { stream: true, declaration: true }));
return [await done, await plain, Object.keys(xml), typeof inner.close, xml.name];
