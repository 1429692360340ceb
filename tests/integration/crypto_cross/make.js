// The body of an async function with `crypto`: what one side makes for the other to check, as JSON.
const pem = (key) => key.export({ type: key.type === 'public' ? 'spki' : 'pkcs8', format: 'pem' });
const pair = (type, options) => crypto.generateKeyPairSync(type, options);
const rsa = pair('rsa', { modulusLength: 2048 }), ec = pair('ec', { namedCurve: 'P-256' }), k1 = pair('ec', { namedCurve: 'secp256k1' });
const ed = pair('ed25519'), x = pair('x25519');
const made = { keys: {}, signatures: [], sealed: [], written: [] };
for (const [name, { publicKey, privateKey }] of Object.entries({ rsa, ec, k1, ed, x })) made.keys[name] = { publicKey: pem(publicKey), privateKey: pem(privateKey) };
for (const hash of ['sha1', 'sha256', 'sha512', 'sha3-256', 'ripemd160']) {
  const sign = (name, options) => made.signatures.push([name, hash, options, crypto.sign(hash, 'message', { key: made.keys[name].privateKey, ...options }).toString('base64')]);
  sign('rsa', {}); sign('ec', {}); sign('k1', { dsaEncoding: 'ieee-p1363' }); sign('ec', { dsaEncoding: 'ieee-p1363' });
  if (hash !== 'ripemd160') for (const saltLength of [-1, -2, 0, 20]) sign('rsa', { padding: 6, saltLength });
}
made.signatures.push(['ed', null, {}, crypto.sign(null, 'message', ed.privateKey).toString('base64')]);
for (const options of [{}, { oaepHash: 'sha256' }, { oaepHash: 'sha512' }, { padding: 1 }]) made.sealed.push([options, crypto.publicEncrypt({ key: rsa.publicKey, ...options }, Buffer.from('secret')).toString('base64')]);
made.privately = crypto.privateEncrypt(rsa.privateKey, Buffer.from('secret')).toString('base64');
for (const [type, cipher] of [['pkcs8', 'aes-256-cbc'], ['pkcs8', 'aes-128-cbc'], ['pkcs1', 'aes-256-cbc']]) made.written.push(rsa.privateKey.export({ type, format: 'pem', cipher, passphrase: 'open sesame' }));
made.written.push(ec.privateKey.export({ type: 'sec1', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'open sesame' }));
made.jwk = [rsa, ec, k1, ed, x].map(({ publicKey, privateKey }) => [publicKey.export({ format: 'jwk' }), privateKey.export({ format: 'jwk' })]);
const own = crypto.createECDH('secp384r1'); own.generateKeys(); const other = crypto.createECDH('secp384r1'); other.generateKeys();
made.agreed = [own.getPrivateKey('hex'), other.getPublicKey('hex', 'compressed'), own.computeSecret(other.getPublicKey()).toString('hex')];
const cipher = crypto.createCipheriv('aes-256-gcm', Buffer.alloc(32, 1), Buffer.alloc(12, 2)); cipher.setAAD(Buffer.from('aad'));
made.gcm = [cipher.update('secret', 'utf8', 'hex') + cipher.final('hex'), cipher.getAuthTag().toString('hex')];
const subtle = crypto.subtle; const web = await subtle.generateKey({ name: 'RSA-PSS', hash: 'SHA-256', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) }, true, ['sign', 'verify']);
made.web = [Buffer.from(await subtle.exportKey('spki', web.publicKey)).toString('base64'), Buffer.from(await subtle.sign({ name: 'RSA-PSS', saltLength: 32 }, web.privateKey, Buffer.from('message'))).toString('base64')];
return made;
