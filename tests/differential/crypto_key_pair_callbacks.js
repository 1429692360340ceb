// OpenSSL's queue of errors may still hold those of an earlier script: this takes them out.
try { crypto.createPrivateKey('-'); } catch {}
const order = [];
await new Promise((done) => { crypto.generateKeyPair('ec', { namedCurve: 'P-256' }, (error, publicKey, privateKey) => { order.push([error, publicKey.type, privateKey.type]); done(); }); order.push('after'); });
await new Promise((done) => crypto.generateKeyPair('ed25519', (error, publicKey) => { order.push([error, publicKey.asymmetricKeyType]); done(); }));
await new Promise((done) => crypto.generateKey('aes', { length: 256 }, (error, key) => { order.push([error, key.symmetricKeySize]); done(); }));
for (const run of [() => crypto.generateKeyPair('ed25519', {}), () => crypto.generateKeyPair('nope', {}, () => 1), () => crypto.generateKeyPair('rsa', {}, () => 1), () => crypto.generateKey('aes', { length: 5 }, () => 1), () => crypto.generateKey('aes', { length: 128 })]) { try { run(); } catch (e) { order.push([e.name, e.message, e.code]); } }
return order;
