// OpenSSL's queue of errors may still hold those of an earlier script: this takes them out.
try { crypto.createPrivateKey('-'); } catch {}
const order = [];
await new Promise((done) => { crypto.randomBytes(4, (error, bytes) => { order.push(['bytes', error, bytes.length]); done(); }); order.push('after'); });
await new Promise((done) => crypto.randomFill(new Uint8Array(3), (error, bytes) => { order.push(['fill', error, bytes.length]); done(); }));
await new Promise((done) => crypto.randomFill(Buffer.alloc(8), 2, 3, (error, bytes) => { order.push(['fill', error, bytes[0], bytes[7]]); done(); }));
await new Promise((done) => crypto.randomFill(Buffer.alloc(8), 2, (error, bytes) => { order.push(['fill', error, bytes.length]); done(); }));
await new Promise((done) => crypto.randomInt(3, (error, n) => { order.push(['int', error === undefined, n < 3]); done(); }));
await new Promise((done) => crypto.randomInt(5, 6, (error, n) => { order.push(['int', n]); done(); }));
await new Promise((done) => { Promise.resolve().then(() => order.push('microtask')); crypto.randomBytes(1, () => { order.push('callback'); done(); }); });
return order;
