const attempt = async (url, options, read = 'text') => { try { const r = await fetch(url, options); const body = await r[read](); return [r.status, r.redirected, r.url, Buffer.isBuffer(body) ? body.toString('hex') : body]; } catch (e) { return [e.name, e.type ?? null, e.code ?? null, e.errno ?? null, e.message, e instanceof Error]; } };
const slow = reply('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok', { wait: 400 }); const quick = reply('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
const stalled = reply('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab', { end: 'stall' });
const out = [await attempt(slow, { timeout: 60 }), await attempt(quick, { timeout: 5000 }), await attempt(quick, { timeout: 0 }), await attempt(stalled, { timeout: 100 }), await attempt(stalled, { timeout: 100 }, 'json'), await attempt(new Request(slow, { timeout: 50 })), await attempt(reply('', { end: 'stall' }), { timeout: 70, method: 'POST', body: 'x' })];
const r = await fetch(stalled, { timeout: 120 });
return [...out, r.status, r.timeout, await r.text().catch((e) => [e.name, e.type, e.message, Object.keys(e)])];
