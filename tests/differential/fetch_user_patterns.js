const post = async (path, body) => { const r = await fetch(`${receiver}${path}`, { method: 'post', headers: { Authorization: `Basic ${btoa('key:')}`, 'Content-Type': 'application/json' }, body: JSON.stringify(body) }); if (!r.ok) throw new Error(`HTTP ${r.status}`); return r.json(); };
const out = [await post('/v1/track', { event: 'Order Completed', revenue: 12.5, tags: ['ä', null] })];
const page = (n, next) => reply(`HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n${JSON.stringify({ n, next })}`, { end: 'close' });
let next = page(1, page(2, page(3, null))); const pages = []; while (next) { const r = await (await fetch(next)).json(); pages.push(r.n); next = r.next; }
const endpoint = new URL(`${receiver}/search`); endpoint.searchParams.set('q', 'a&b c'); endpoint.searchParams.append('q', 'ü'); endpoint.username = 'u'; out.push(await (await fetch(endpoint)).json(), await (await fetch(endpoint.toString())).json());
out.push(await fetch(`${receiver}/form`, { method: 'POST', body: new URLSearchParams({ grant_type: 'client_credentials', scope: 'a b' }) }).then((r) => r.json()));
try { const r = await fetch(reply('HTTP/1.1 401 Unauthorized\r\nContent-Length: 13\r\n\r\n{"error":"no"}'.slice(0, -1) + '')); out.push(r.status, await r.text()); } catch (e) { out.push(e.message); }
const retry = async (n) => { for (let i = 0; i < n; i += 1) { const r = await fetch(reply(`HTTP/1.1 ${i < 2 ? 503 : 200} X\r\nContent-Length: 0\r\n\r\n`, { i })); if (r.ok) return i; } return -1; };
return [...out, pages, await retry(5)];
