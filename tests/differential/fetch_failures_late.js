const out = [];
for (const [text, end] of [['HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab', 'close'], ['HTTP/1.1 200 OK\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n', 'reset']]) {
  const r = await fetch(reply(text, { end }));
  out.push(['head', r.status, r.statusText, r.ok, r.headers.raw()]);
  try { out.push(await r.text()); } catch (e) { out.push([e.name, e.type, e.code ?? null, e.errno ?? null, e.message, r.bodyUsed]); }
}
const unread = await fetch(reply('HTTP/1.1 202 Fine\r\nContent-Length: 5\r\n\r\nab', { end: 'close' }));
return [...out, unread.status];
