const seen = []; const note = (label) => (e) => seen.push([label, e.name, e.type ?? null, e.message]);
const url = reply('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc');
for (const read of ['text', 'json', 'buffer', 'arrayBuffer']) { const c = new AbortController(); const r = await fetch(url, { signal: c.signal }); c.abort(); await r[read]().then((v) => seen.push([read, String(v)]), note(read)); }
const c = new AbortController(); const r = await fetch(url, { signal: c.signal }); const reading = r.text(); c.abort(); await reading.then((v) => seen.push(v), note('while reading'));
const d = new AbortController(); const clone = (await fetch(url, { signal: d.signal })).clone(); seen.push(await clone.text()); d.abort();
return seen;
