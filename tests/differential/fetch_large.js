const sizes = [1, 1023, 65536, 300000]; const out = [];
for (const n of sizes) { const r = await fetch(`${receiver}/big`, { method: 'POST', body: 'x'.repeat(n) }); out.push(await r.json()); }
for (const times of [1, 10, 5000]) { const r = await fetch(reply('0123456789', { times, end: 'close' }).replace('b=', `b=`)).catch((e) => e); out.push(r.name ?? r.status); }
const chunk = (n) => reply(`HTTP/1.1 200 OK\r\n\r\n${'y'.repeat(n)}`, { end: 'close' });
for (const n of [10, 20000, 15000]) { const b = await (await fetch(chunk(n))).buffer(); out.push([b.length, b.every((x) => x === 121)]); }
return out;
