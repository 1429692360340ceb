const attempt = async (url, options, read = 'text') => { try { const r = await fetch(url, options); const body = await r[read](); return [r.status, r.redirected, r.url, Buffer.isBuffer(body) ? body.toString('hex') : body]; } catch (e) { return [e.name, e.type ?? null, e.code ?? null, e.errno ?? null, e.message, e instanceof Error]; } };
const data = { gzip: 'H4sIAAAAAAAAA8tIzcnJVyjPL8pJAQCFEUoNCwAAAA==', deflate: 'eJzLSM3JyVcozy/KSQEAGgsEXQ==', raw: 'y0jNyclXKM8vykkBAA==', empty: 'H4sIAAAAAAAAAwMAAAAAAAAAAAA=' };
const bytes = (name) => atob(data[name]);
const zipped = (coding, text, status = '200 OK') => reply(`HTTP/1.1 ${status}\r\nContent-Encoding: ${coding}\r\nContent-Length: ${text.length}\r\n\r\n${text}`);
const gzip = bytes('gzip'); const out = [];
for (const [coding, text] of [['deflate', '\xff\xff\xff'], ['gzip', gzip.slice(0, -8)], ['gzip', gzip.slice(0, -4)], ['gzip', gzip.slice(0, 14)], ['gzip', gzip + gzip], ['gzip', gzip + '\0\0\0\0'], ['gzip', bytes('empty')], ['gzip', gzip.slice(0, -8) + 'xxxxxxxx'], ['gzip, deflate', gzip], ['', 'none'], ['deflate', bytes('deflate').slice(0, -4)], ['deflate', bytes('deflate').slice(0, 6)]]) {
  out.push([coding, text.length, await attempt(zipped(coding, text)), await attempt(zipped(coding, text), { compress: false }, 'buffer')]);
}
return out;
