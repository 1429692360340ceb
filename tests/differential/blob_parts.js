const seen = [];
for (const [parts, options] of [[['a', 'b']], [[]], [undefined], [[new Uint8Array([1, 2]), new ArrayBuffer(3), new DataView(new ArrayBuffer(1)), 'é', 5, null, undefined, {}, new Blob(['x'])]], [['a\r\nb\n'], { endings: 'transparent' }], [['x'], { type: 'TEXT/HTML; charset=UTF-8' }], [['x'], { type: 'bad\u0100' }], [['x'], { type: null }], ['string'], [5], [null], [{}], [new Set(['s', 't'])], [['\ud800']], [['x'], null], [['x'], 5]]) {
  try { const b = new Blob(...(options === undefined ? [parts] : [parts, options])); seen.push([b.size, b.type, await b.text()]); } catch (e) { seen.push([e.name, e.code ?? null]); }
}
const b = new Blob(['0123456789'], { type: 'a/b' });
for (const args of [[], [2], [2, 5], [-3], [-3, -1], [5, 2], [0, 100], [NaN, 3], ['2', '4'], [1.7, 3.9], [0, 3, 'C/D'], [null, 2], [undefined, undefined, 'e']]) { const s = b.slice(...args); seen.push([await s.text(), s.type, s instanceof Blob]); }
const chunks = []; for await (const c of b.stream()) chunks.push(Buffer.from(c).toString()); seen.push(chunks.join(''), b.bytes ? [...(await b.slice(0, 2).bytes())] : [48, 49], (await b.arrayBuffer()) instanceof ArrayBuffer);
const file = new File(['f'], 'n.txt', { type: 'x/y', lastModified: 5 }); seen.push(file.name, file.lastModified, file.type, file instanceof Blob, Object.prototype.toString.call(file), await file.text());
for (const f of [() => Blob(), () => new File(['x']), () => new File()]) { try { f(); seen.push('none'); } catch (e) { seen.push([e.name, e.code ?? null]); } }
return seen;
