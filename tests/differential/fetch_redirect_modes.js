const attempt = async (url, options, read = 'text') => { try { const r = await fetch(url, options); const body = await r[read](); return [r.status, r.redirected, r.url, Buffer.isBuffer(body) ? body.toString('hex') : body]; } catch (e) { return [e.name, e.type ?? null, e.code ?? null, e.errno ?? null, e.message, e instanceof Error]; } };
const to = (location) => reply(`HTTP/1.1 307 Go\r\nLocation: ${location}\r\nContent-Length: 4\r\n\r\nbody`);
const chain = (length) => { let url = `${receiver}/end`; for (let i = 0; i < length; i += 1) url = to(url); return url; };
const out = [];
for (const [length, options] of [[1, { follow: 0 }], [1, { follow: 1 }], [2, { follow: 1 }], [3, { follow: 3 }], [4, {}], [0, { follow: 0 }]]) out.push((await attempt(chain(length), options)).map((v) => String(v).replace(/b=[\w-]+/g, 'b=')));
for (const location of ['/rel', 'rel?x=1', `${receiver}/whole`, '//other/x', 'http://[bad', 'mailto:x@y']) {
  try { const r = await fetch(to(location), { redirect: 'manual' }); out.push([r.status, r.headers.get('location'), r.redirected, await r.text()]); } catch (e) { out.push([e.name, e.type, e.message]); }
}
out.push((await attempt(to('/x'), { redirect: 'error' })), await attempt(to('http://[bad')), await attempt(`${receiver}/plain`, { redirect: 'error' }), await attempt(to('/x'), { redirect: 'nonsense' }));
return out;
