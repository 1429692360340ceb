const r = new Request('http://Example.com/a?b=1#c', { method: 'post', headers: { 'X-A': '1' }, body: 'héllo', redirect: 'manual', follow: 3, timeout: 5, size: 9, compress: false });
const c = r.clone();
return [r.method, r.url, [...r.headers], r.redirect, r.follow, r.timeout, r.size, r.compress, r.counter, r.bodyUsed, await r.text(), r.bodyUsed, await c.buffer(), c.url, String(r), Buffer.isBuffer(r.body)];
