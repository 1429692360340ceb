// The body of an async function with `crypto` and `made`: {claim: whether it holds}.
const found = {};
const claim = (name, run) => { try { found[name] = run(); } catch (error) { found[name] = String(error); } };
const { keys } = made;
for (const [name, hash, options, signature] of made.signatures) {
  const key = { key: keys[name].publicKey, ...options };
  claim(`${name} ${hash} ${JSON.stringify(options)}`, () => crypto.verify(hash, 'message', key, Buffer.from(signature, 'base64')) && !crypto.verify(hash, 'another', key, Buffer.from(signature, 'base64')));
}
for (const [options, sealed] of made.sealed) claim(`sealed ${JSON.stringify(options)}`, () => crypto.privateDecrypt({ key: keys.rsa.privateKey, ...options }, Buffer.from(sealed, 'base64')).toString() === 'secret');
claim('privately', () => crypto.publicDecrypt(keys.rsa.publicKey, Buffer.from(made.privately, 'base64')).toString() === 'secret');
made.written.forEach((pem, index) => claim(`written ${index}`, () => crypto.createPrivateKey({ key: pem, passphrase: 'open sesame' }).equals(crypto.createPrivateKey(keys[index < 3 ? 'rsa' : 'ec'].privateKey))));
made.jwk.forEach(([publicJwk, privateJwk], index) => claim(`jwk ${index}`, () => {
  const { publicKey, privateKey } = Object.values(keys)[index];
  return crypto.createPublicKey({ key: publicJwk, format: 'jwk' }).equals(crypto.createPublicKey(publicKey)) && crypto.createPrivateKey({ key: privateJwk, format: 'jwk' }).equals(crypto.createPrivateKey(privateKey));
}));
claim('agreed', () => { const own = crypto.createECDH('secp384r1'); own.setPrivateKey(made.agreed[0], 'hex'); return own.computeSecret(made.agreed[1], 'hex', 'hex') === made.agreed[2]; });
claim('gcm', () => { const d = crypto.createDecipheriv('aes-256-gcm', Buffer.alloc(32, 1), Buffer.alloc(12, 2)); d.setAAD(Buffer.from('aad')); d.setAuthTag(Buffer.from(made.gcm[1], 'hex')); return d.update(made.gcm[0], 'hex', 'utf8') + d.final('utf8') === 'secret'; });
const web = await crypto.subtle.importKey('spki', Buffer.from(made.web[0], 'base64'), { name: 'RSA-PSS', hash: 'SHA-256' }, true, ['verify']);
found.web = await crypto.subtle.verify({ name: 'RSA-PSS', saltLength: 32 }, web, Buffer.from(made.web[1], 'base64'), Buffer.from('message'));
return found;
