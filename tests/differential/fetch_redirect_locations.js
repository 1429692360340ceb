const attempt = async (url, options, read = 'text') => { try { const r = await fetch(url, options); const body = await r[read](); return [r.status, r.redirected, r.url, Buffer.isBuffer(body) ? body.toString('hex') : body]; } catch (e) { return [e.name, e.type ?? null, e.code ?? null, e.errno ?? null, e.message, e instanceof Error]; } };
const to = (location) => reply(`HTTP/1.1 302 Found\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`);
const out = [];
for (const location of ['/abs', 'rel', '../up', './here', '?b=SFRUUC8xLjEgMjAwIE9LDQpDb250ZW50LUxlbmd0aDogMA0KDQo', `${receiver}/whole`, `${receiver.slice(5)}/scheme-relative`, '/with#fragment', '/a b', '/%C3%A4', '/q?a=b c', '  /padded  ', '/caf\xe9']) out.push([location, await attempt(to(location))]);
for (const status of [300, 304, 305, 306, 309]) out.push([status, await attempt(reply(`HTTP/1.1 ${status} X\r\nLocation: /never\r\nContent-Length: 0\r\n\r\n`))]);
for (const mode of ['follow', 'manual', 'error']) out.push([mode, await attempt(reply('HTTP/1.1 302 Found\r\nContent-Length: 2\r\n\r\nno'), { redirect: mode })]);
return out;
