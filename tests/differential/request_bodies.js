const bodies = ['text', Buffer.from('buf'), new Uint8Array([1, 2, 250]), new Uint16Array([258]), new Uint8Array([9, 8]).buffer, new URLSearchParams({ a: 'b c' }), { toString: () => 'object' }, 12, true, new DataView(new ArrayBuffer(2))];
const out = [];
for (const body of bodies) {
  const r = new Request('http://a/', { method: 'POST', body });
  out.push([r.headers.get('content-type'), (await r.buffer()).toString('hex')]);
}
return out;
