const seen = [];
const r = await fetch(`${receiver}/a%20b?q=1#f`, { method: 'POST', headers: { 'X-A': '1', 'content-type': 'a/b' }, body: 'é' });
seen.push(r.status, r.url, await r.json());
const raw = await fetch(reply('HTTP/1.1 418 Short and stout\r\nX-B: 1\r\nx-b: 2\r\nContent-Length: 2\r\n\r\nhi'));
return [...seen, raw.status, raw.statusText, raw.headers.raw(), await raw.text()];
