const seen = [];
for (const v of [() => {}, Symbol('x'), { f() {} }, new WeakMap(), Promise.resolve(), [Symbol.iterator]]) {
  try { structuredClone(v); seen.push('none'); } catch (e) { seen.push([e.name, e.message, e.code, e instanceof Error]); }
}
try { structuredClone(); } catch (e) { seen.push([e.name, e.code]); }
const buffer = new ArrayBuffer(4); const moved = structuredClone(buffer, { transfer: [buffer] });
return [seen, buffer.byteLength, moved.byteLength];
