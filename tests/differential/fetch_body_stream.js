const url = reply('HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world'); const seen = [];
const r = await fetch(url); let text = ''; for await (const chunk of r.body) { seen.push(Buffer.isBuffer(chunk)); text += chunk; } seen.push(text, r.bodyUsed);
const s = await fetch(url); seen.push(await new Promise((resolve, reject) => { const parts = []; s.body.on('data', (c) => parts.push(c)); s.body.on('end', () => resolve(Buffer.concat(parts).toString())); s.body.on('error', reject); }));
const t = await fetch(url); seen.push(typeof t.body.pipe, typeof t.body.on, t.body === t.body, typeof t.body.getReader, t.body.readable);
const empty = await fetch(reply('HTTP/1.1 204 None\r\n\r\n')); let none = 0; for await (const _ of empty.body) none += 1; seen.push(none, await t.text());
return seen;
