const attempt = async (url, options, read = 'text') => { try { const r = await fetch(url, options); const body = await r[read](); return [r.status, r.redirected, r.url, Buffer.isBuffer(body) ? body.toString('hex') : body]; } catch (e) { return [e.name, e.type ?? null, e.code ?? null, e.errno ?? null, e.message, e instanceof Error]; } };
const out = [];
for (const method of ['GET', 'get', 'post', 'Post', 'PUT', 'put', 'patch', 'PATCH', 'DELETE', 'delete', 'HEAD', 'head', 'OPTIONS', 'PROPFIND', 'purge', undefined, '']) out.push([method, await attempt(`${receiver}/m`, { method })]);
for (const method of ['DELETE', 'OPTIONS', 'PROPFIND', 'PATCH', 'GET', 'HEAD', 'get']) out.push([method, await attempt(`${receiver}/b`, { method, body: 'x' })]);
return out;
