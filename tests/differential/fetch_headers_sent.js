const attempt = async (url, options, read = 'text') => { try { const r = await fetch(url, options); const body = await r[read](); return [r.status, r.redirected, r.url, Buffer.isBuffer(body) ? body.toString('hex') : body]; } catch (e) { return [e.name, e.type ?? null, e.code ?? null, e.errno ?? null, e.message, e instanceof Error]; } };
const go = (headers, more = {}) => attempt(`${receiver}/h`, { headers, ...more });
const out = [];
for (const headers of [
  { 'X-Number': 5, 'X-Bool': true, 'X-Null': null, 'X-Undefined': undefined, 'X-Array': [1, 2], 'X-Empty': '', 'X-Padded': '  a b  ' },
  [['a', '1'], ['b', '2'], ['A', '3']], new Headers({ One: '1', 'TWO-three': '2' }), new Map([['m', 'n']]),
  { accept: 'text/html' }, { ACCEPT: 'a/b', 'User-Agent': 'me/1', 'accept-encoding': 'identity' }, { 'user-agent': '' },
  { Authorization: 'Bearer abc.def', Cookie: 'a=b; c=d', Referer: 'http://x/', Origin: 'http://y/' }, { 'X-Latin': 'é' }, { 'Content-Type': 'application/json' }, { "!#$%&'*+-.^_`|~": 'token' },
  { 'X-Bad': 'é\u0100' }, { 'X Bad': 'x' }, { 'X-Bad': 'a\nb' }, { 'X-Bad': 'a\r\nX-Smuggled: 1' }, { 'X-Bad': 'a\0b' }, { '': 'x' }, { 'X:': 'x' }, { 'X-é': 'x' },
]) out.push(await go(headers));
out.push(await go({}, { compress: false }), await go(undefined), await go(null), await go({ 'X-Tab': 'a\tb', 'X-Del': 'a\x7f' }));
const h = new Headers(); h.append('Many', 'a'); h.append('many', 'b'); h.append('MANY', 'c');
out.push(await go(h, { method: 'POST', body: 'x' }));
return out;
