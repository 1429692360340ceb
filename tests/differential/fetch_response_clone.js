const url = reply('HTTP/1.1 201 Made\r\nX-A: 1\r\nContent-Length: 5\r\n\r\nhello');
const r = await fetch(url); const c = r.clone(); const d = c.clone();
c.headers.set('x-a', '2');
const out = [await c.text(), await r.buffer(), r.headers.get('x-a'), c.headers.get('x-a'), c.status, c.statusText, c.url === r.url, c.ok, c.redirected, r.bodyUsed, c.bodyUsed, d.bodyUsed, await d.arrayBuffer().then((b) => b.byteLength)];
const used = await fetch(url); await used.text();
try { used.clone(); } catch (e) { out.push([e.name, e.message]); }
const first = await fetch(url); const twin = first.clone(); const [a, b] = await Promise.all([first.text(), twin.text()]);
const half = await fetch(url); const reading = half.text(); try { half.clone(); } catch (e) { out.push(e.message); }
return [...out, a, b, await reading];
