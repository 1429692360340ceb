const r = new Response('{"a":[1]}', { status: 201, headers: { 'content-type': 'application/json' } });
const c = r.clone();
const out = [r.ok, r.status, r.statusText, r.url, r.redirected, [...r.headers], await r.json(), r.bodyUsed, await c.text(), new Response(null, { status: 404 }).statusText, new Response().ok, await new Response().text(), String(r)];
try { await r.text(); } catch (e) { out.push([e.name, e.message]); }
try { await new Response('nope').json(); } catch (e) { out.push([e.name, e.message, e.type, e instanceof Error]); }
try { r.clone(); } catch (e) { out.push([e.name, e.message]); }
return [...out, (await new Response('ab').arrayBuffer()).byteLength, (await new Response('é').buffer()).length, (await new Response('x', { headers: { 'content-type': 'A/B' } }).blob()).type];
