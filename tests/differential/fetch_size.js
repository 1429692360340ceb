const attempt = async (url, options, read = 'text') => { try { const r = await fetch(url, options); const body = await r[read](); return [r.status, r.redirected, r.url, Buffer.isBuffer(body) ? body.toString('hex') : body]; } catch (e) { return [e.name, e.type ?? null, e.code ?? null, e.errno ?? null, e.message, e instanceof Error]; } };
const ten = reply('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789'); const zipped = reply(`HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 31\r\n\r\n${atob('H4sIAAAAAAAAA8tIzcnJVyjPL8pJAQCFEUoNCwAAAA==')}`);
const chunked = reply('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n');
const out = [];
for (const url of [ten, zipped, chunked]) for (const size of [0, 5, 9, 10, 11, 100]) for (const read of ['text', 'buffer']) out.push([size, (await attempt(url, { size }, read)).map((v) => String(v).replace(/\?b=\S+/, ''))]);
const r = await fetch(ten, { size: 5 }); out.push([r.status, r.size, r.ok]);
return [...out, (await r.blob().catch((e) => [e.name, e.type, e.message.length]))];
