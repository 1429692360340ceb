const attempt = async (url, options, read = 'text') => { try { const r = await fetch(url, options); const body = await r[read](); return [r.status, r.redirected, r.url, Buffer.isBuffer(body) ? body.toString('hex') : body]; } catch (e) { return [e.name, e.type ?? null, e.code ?? null, e.errno ?? null, e.message, e instanceof Error]; } };
const other = receiver.replace('127.0.0.1', 'localhost');
const to = (status, location) => reply(`HTTP/1.1 ${status} Go\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`);
const headers = { Authorization: 'Bearer x', Cookie: 'a=b', Cookie2: 'c', 'WWW-Authenticate': 'd', 'X-Api-Key': 'k', 'Content-Type': 'application/json', 'Content-Length': '2' };
const out = [];
for (const target of [other, receiver]) for (const status of [302, 303, 307]) out.push(await attempt(to(status, `${target}/landed`), { method: 'POST', body: '{}', headers }));
out.push(await attempt(to(302, `${other}/get`), { headers: { authorization: 'x', cookie: 'y' } }));
return out;
