const seen = [];
for (const init of [{}, { redirect: 'manual', follow: 1, timeout: 4000, size: 99, compress: false }, { method: 'PATCH', body: '{}', headers: { 'content-type': 'application/json' } }, { mode: 'cors', credentials: 'include', cache: 'no-store', keepalive: true, referrer: 'x', integrity: 'y', duplex: 'half', priority: 'high' }, { headers: { 'X-A': 'b' }, agent: null, unknown: 1 }]) {
  const r = new Request(`${receiver}/o`, init);
  seen.push([r.method, r.redirect, r.follow, r.timeout, r.size, r.compress, r.counter, r.signal ?? null, [...r.headers], await (await fetch(r)).json(), await (await fetch(`${receiver}/direct`, init)).json()]);
}
return seen;
