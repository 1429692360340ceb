const attempt = async (url, options, read = 'text') => { try { const r = await fetch(url, options); const body = await r[read](); return [r.status, r.redirected, r.url, Buffer.isBuffer(body) ? body.toString('hex') : body]; } catch (e) { return [e.name, e.type ?? null, e.code ?? null, e.errno ?? null, e.message, e instanceof Error]; } };
const json = (text, type = 'application/json; charset=utf-8') => reply(`HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\nContent-Length: ${text.length}\r\n\r\n${text}`);
const out = [];
for (const text of ['{"a":[1,2,{"b":null}]}', '"s"', '12', 'null', '', ' ', '{', '{"a":}', 'nope', '<html>', '[1,]', '{"a":1}x', '\xef\xbb\xbf{"bom":1}', '{"__proto__":{"x":1}}', '{"a":1,"a":2}', '\xe9']) out.push([text, await attempt(json(text), {}, 'json'), await attempt(json(text), {}, 'text')]);
for (const read of ['text', 'json', 'buffer', 'arrayBuffer', 'blob']) {
  const r = await fetch(json('{"n":1}', 'Text/Plain'));
  const before = r.bodyUsed; const value = await r[read]();
  const again = await r[read]().catch((e) => [e.name, e.message]);
  out.push([read, before, r.bodyUsed, value.constructor.name, value.byteLength ?? value.size ?? value, value.type ?? null, again]);
  try { r.clone(); out.push('cloned'); } catch (e) { out.push([e.name, e.message]); }
}
return out;
