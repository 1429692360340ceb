const attempt = async (url, options, read = 'text') => { try { const r = await fetch(url, options); const body = await r[read](); return [r.status, r.redirected, r.url, Buffer.isBuffer(body) ? body.toString('hex') : body]; } catch (e) { return [e.name, e.type ?? null, e.code ?? null, e.errno ?? null, e.message, e instanceof Error]; } };
const data = { gzip: 'H4sIAAAAAAAAA8tIzcnJVyjPL8pJAQCFEUoNCwAAAA==', deflate: 'eJzLSM3JyVcozy/KSQEAGgsEXQ==', raw: 'y0jNyclXKM8vykkBAA==', empty: 'H4sIAAAAAAAAAwMAAAAAAAAAAAA=' };
const bytes = (name) => atob(data[name]);
const zipped = (coding, text, status = '200 OK') => reply(`HTTP/1.1 ${status}\r\nContent-Encoding: ${coding}\r\nContent-Length: ${text.length}\r\n\r\n${text}`);
const gzip = bytes('gzip'); const out = [];
for (const [coding, text] of [['gzip', gzip], ['GZIP', gzip], ['x-gzip', gzip], ['deflate', bytes('deflate')], ['x-deflate', bytes('deflate')], ['deflate', bytes('raw')], ['identity', 'plain'], ['unknown', 'plain'], ['gzip', ''], ['deflate', ''], ['gzip', 'not gzip at all']]) {
  out.push([coding, text.length, await attempt(zipped(coding, text)), await attempt(zipped(coding, text), { compress: false }, 'buffer')]);
}
out.push(await attempt(zipped('gzip', ''), { method: 'HEAD' }), await attempt(reply('HTTP/1.1 204 None\r\nContent-Encoding: gzip\r\n\r\n')), await attempt(reply('HTTP/1.1 304 Same\r\nContent-Encoding: gzip\r\n\r\n')), await attempt(zipped('gzip', gzip, '404 Not')));
const r = await fetch(zipped('gzip', gzip)); out.push(r.headers.raw());
return out;
