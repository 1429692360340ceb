const b = Buffer.from('0123456789');
const s = b.subarray(2, 5); s[0] = 65; const t = b.slice(-3); t[0] = 66; const u = Buffer.from(b.buffer, b.byteOffset + 1, 2); u[0] = 67;
const copy = Buffer.from(b); copy[0] = 90;
const typed = new Uint16Array([1, 256, 65535]);
const seen = [b.toString(), s.toString(), t.toString(), u.toString(), copy.toString(), b.slice(3, 1).length, b.slice(20).length, b.subarray(-100, 3).toString(), Buffer.from(typed).toJSON(), Buffer.from(typed.buffer).toJSON(), Buffer.isBuffer(s), s instanceof Uint8Array, s.parent === s.buffer];
seen.push(b.equals(Buffer.from(b)), b.equals(new Uint8Array(3)), Buffer.compare(Buffer.from('a'), Buffer.from('b')), Buffer.from('b').compare(Buffer.from('abc')), b.compare(b, 1, 4, 1, 4), [Buffer.from('c'), Buffer.from('a'), Buffer.from('b')].sort(Buffer.compare).join());
seen.push(Buffer.concat([b, s]).toString(), Buffer.concat([b, s], 4).toString(), Buffer.concat([b], 12).toJSON().data.slice(9), Buffer.concat([]).length, b.copy(s, 1, 4, 6), b.toString(), s.copy(b), b.toString());
for (const one of [() => Buffer.concat('x'), () => Buffer.concat([1]), () => b.equals('x'), () => Buffer.compare('a', b), () => b.copy('x')]) try { seen.push(one()); } catch (e) { seen.push([e.name, e.code, e.message]); }
return seen;
