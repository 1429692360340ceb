const out = [];
for (const name of ['md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512', 'sha3-256', 'sha3-512', 'ripemd160', 'SHA256', 'sha512-256']) {
  out.push([name, crypto.createHash(name).update('héllo').update(Buffer.from([1, 2])).digest('hex'), crypto.createHmac(name, 'key').update('data').digest('base64')]);
}
out.push(crypto.createHash('sha256').update('ff', 'hex').digest('base64url'), Buffer.isBuffer(crypto.createHash('md5').digest()), crypto.createHmac('sha256', Buffer.from([1])).update('').digest('latin1').length);
const h = crypto.createHash('sha1').update('a'); out.push(h.copy().update('b').digest('hex'), h.digest('hex'));
for (const run of [() => h.update('x'), () => crypto.createHash('nope'), () => crypto.createHash('md5').update(5), () => crypto.timingSafeEqual(Buffer.from('a'), Buffer.from('ab'))]) { try { run(); out.push('none'); } catch (e) { out.push([e.name, e.message, e.code ?? null]); } }
return [out, crypto.randomBytes(7).length, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(crypto.randomUUID()), crypto.timingSafeEqual(Buffer.from('ab'), Buffer.from('ab')), crypto.timingSafeEqual(Buffer.from('ab'), Buffer.from('ac'))];
