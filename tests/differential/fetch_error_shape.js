const seen = [];
for (const url of ['http://127.0.0.1:9/', 'http://nowhere.invalid/']) {
  try { await fetch(url); } catch (e) { seen.push([Object.keys(e), JSON.stringify(e), String(e), e.name, e.constructor.name, Object.prototype.toString.call(e), e instanceof Error, e.stack.split('\n')[0], e.propertyIsEnumerable('message'), Object.getOwnPropertyNames(e).sort(), 'code' in e, { ...e }]); }
}
const { FetchError, AbortError } = fetch;
if (FetchError) { const e = new FetchError('m', 't', { code: 'C' }); seen.push([e.message, e.type, e.code, e.errno, e.name, e instanceof FetchError]); }
try { await (await fetch(reply('HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{'))).json(); } catch (e) { seen.push([Object.keys(e), JSON.stringify(e).replace(/\?b=\w+/, ''), e.type, e.constructor.name]); }
const c = new AbortController(); c.abort(); try { await fetch(receiver, { signal: c.signal }); } catch (e) { seen.push([Object.keys(e), JSON.stringify(e), String(e), e.constructor.name]); }
return [seen, typeof FetchError, typeof AbortError];
