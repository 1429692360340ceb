const url = (n, wait) => reply(`HTTP/1.1 200 OK\r\nContent-Length: ${String(n).length}\r\n\r\n${n}`, { wait, n });
const all = await Promise.all([3, 1, 2].map((n) => fetch(url(n, n * 30)).then((r) => r.text())));
const settled = await Promise.allSettled([fetch(url(1, 5)), fetch('http://127.0.0.1:9/'), fetch('nope')]);
const raced = await Promise.race([fetch(url('slow', 400)), fetch(url('fast', 5))]).then((r) => r.text());
const any = await Promise.any([fetch('http://127.0.0.1:9/'), fetch(url('ok', 20))]).then((r) => r.text());
const order = []; await Promise.all([60, 5, 30].map(async (ms) => { await fetch(url(ms, ms)); order.push(ms); }));
const many = await Promise.all(Array.from({ length: 20 }, (_, n) => fetch(url(n, 1)).then((r) => r.text())));
return [all, settled.map((s) => [s.status, s.reason?.message ?? s.value.status]), raced, any, order, many];
