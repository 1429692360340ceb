const attempt = async (url, options, read = 'text') => { try { const r = await fetch(url, options); const body = await r[read](); return [r.status, r.redirected, r.url, Buffer.isBuffer(body) ? body.toString('hex') : body]; } catch (e) { return [e.name, e.type ?? null, e.code ?? null, e.errno ?? null, e.message, e instanceof Error]; } };
const bodies = ['text', 'héllo wörld ☃', '', Buffer.from('buf'), Buffer.alloc(0), new Uint8Array([0, 1, 2, 250]), new Uint16Array([258, 7]), new Float64Array([1.5]), new Uint8Array([9, 8, 7]).subarray(1), new Uint8Array([9, 8]).buffer, new DataView(new ArrayBuffer(3)), new URLSearchParams({ a: 'b c', ü: '&=+' }), new URLSearchParams(), { toString: () => 'object' }, { a: 1 }, [1, 2], 12, 0, true, new Date(0), null, undefined, 'lone \ud800 surrogate'];
const out = [];
for (const body of bodies) {
  out.push(await attempt(`${receiver}/plain`, { method: 'POST', body }));
  out.push(await attempt(`${receiver}/typed`, { method: 'POST', body, headers: { 'Content-Type': 'application/x-mine' } }));
}
return out;
