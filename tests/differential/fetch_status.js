const out = [];
for (const line of ['200 OK', '200', '200 ', '201 Created', '204 No Content', '206 Partial', '299 Strange', '300 Many', '304 Not Modified', '400 Bad Request', '404 Nothing  here', '418 teapot', '429 Too Many', '499 x', '500 Internal', '503 A;b,c"d"', '599 Last', '600 Beyond', '999 Far', '226 Gr\xfc\xdfe']) {
  try { const r = await fetch(reply(`HTTP/1.1 ${line}\r\nContent-Length: 0\r\n\r\n`)); out.push([line, r.status, r.statusText, r.ok, r.redirected, await r.text()]); } catch (e) { out.push([line, e.name, e.type, e.code ?? null]); }
}
for (const text of ['HTTP/1.0 200 OK\r\n\r\nto the end', 'HTTP/1.1 200 OK\r\n\r\nno length', 'HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n', 'HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n1;ext=1\r\na\r\n1\r\nb\r\n0\r\nTrailer: x\r\n\r\n', 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx', 'HTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 202 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n']) {
  const r = await fetch(reply(text, { end: 'close' })); out.push([r.status, r.statusText, await r.text(), r.headers.raw()]);
}
const head = await fetch(reply('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n'), { method: 'HEAD' });
return [...out, head.status, await head.text(), head.headers.get('content-length')];
