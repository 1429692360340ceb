// OpenSSL's queue of errors may still hold those of an earlier script: this takes them out.
try { crypto.createPrivateKey('-'); } catch {}
const out = [];
const t = (run) => { try { out.push(run()); } catch (e) { out.push([e.name, e.message, e.code ?? null]); } };
const zeros = (bytes) => Array.from(new Uint8Array(bytes.buffer ?? bytes)).map((byte, at) => (byte ? at : -1)).filter((at) => at >= 0);
const filled = (target, ...args) => { for (let i = 0; i < 40; i++) crypto.randomFillSync(target, ...args); return target; };
t(() => { const b = Buffer.alloc(10); return crypto.randomFillSync(b) === b; });
t(() => { const b = new Uint8Array(10); filled(b, 4, 3); return [zeros(b).every((at) => at >= 4 && at < 7), b[0], b[9]]; });
t(() => { const b = new Uint16Array(4); filled(b, 2); return [b[0], b[1]]; });
t(() => { const b = new ArrayBuffer(6); filled(b, 5); return [...new Uint8Array(b)].slice(0, 5); });
t(() => crypto.randomFillSync(new DataView(new ArrayBuffer(4))).byteLength);
t(() => crypto.randomFillSync(new Float32Array(2)).length);
for (const args of [[Buffer.alloc(4), 5], [Buffer.alloc(4), -1], [Buffer.alloc(4), 0, 5], [Buffer.alloc(4), '1'], [Buffer.alloc(4), 0, '1'], [Buffer.alloc(4), NaN], [Buffer.alloc(4), 2, 3], [5], ['x'], [[]], [undefined], [null]]) t(() => crypto.randomFillSync(...args));
t(() => crypto.randomFill(Buffer.alloc(2)));
t(() => crypto.randomFill(5, () => 1));
t(() => crypto.getRandomValues(new Uint8Array(8)).length);
t(() => crypto.getRandomValues(new BigUint64Array(2)).constructor.name);
for (const wrong of [new Float32Array(1), new DataView(new ArrayBuffer(1)), [], undefined, new Uint8Array(65537), new ArrayBuffer(4)]) t(() => crypto.getRandomValues(wrong));
return out;
