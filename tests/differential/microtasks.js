const order = [];
setTimeout(() => order.push('timeout'), 0);
queueMicrotask(() => order.push('micro')); Promise.resolve().then(() => order.push('promise'));
order.push('sync'); await new Promise((r) => setTimeout(r, 20));
try { queueMicrotask(5); } catch (e) { order.push([e.name, e.code]); }
return [order, typeof performance.now(), performance.now() >= 0, performance.timeOrigin > 1e12];
