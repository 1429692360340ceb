const attempt = async (url, options, read = 'text') => { try { const r = await fetch(url, options); const body = await r[read](); return [r.status, r.redirected, r.url, Buffer.isBuffer(body) ? body.toString('hex') : body]; } catch (e) { return [e.name, e.type ?? null, e.code ?? null, e.errno ?? null, e.message, e instanceof Error]; } };
const to = (status, location) => reply(`HTTP/1.1 ${status} Moved\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`);
const out = [];
for (const status of [301, 302, 303, 307, 308]) for (const method of ['GET', 'POST', 'PUT', 'HEAD', 'DELETE']) {
  const body = ['POST', 'PUT'].includes(method) ? 'body' : undefined;
  out.push([status, method, await attempt(to(status, '/landed?x=1'), { method, body, headers: { 'X-Kept': 'yes', Authorization: 'a', 'Content-Type': 'text/x' } })]);
}
return out;
