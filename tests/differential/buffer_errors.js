const seen = [];
for (const run of [() => Buffer.from(), () => Buffer.from(5), () => Buffer.alloc(-1), () => Buffer.alloc('5'), () => Buffer.from('a', 'nope'), () => Buffer.alloc(1).readUInt32LE(0), () => Buffer.alloc(2).writeUInt8(300), () => Buffer.concat('x'), () => Buffer.byteLength(5), () => Buffer.alloc(4).toString('nope')]) {
  try { run(); seen.push('none'); } catch (e) { seen.push([e.name, e.code ?? null]); }
}
return seen;
