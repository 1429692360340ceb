// OpenSSL's queue of errors may still hold those of an earlier script: this takes them out.
try { crypto.createPrivateKey('-'); } catch {}
const told = (e) => [e.name, e.message, e.code ?? null, e.library ?? null, e.reason ?? null];
const shown = (v) => (Buffer.isBuffer(v) ? v.toString('hex') : v instanceof ArrayBuffer ? ['ab', Buffer.from(v).toString('hex')] : typeof v === 'bigint' ? `${v}n` : v === undefined ? 'undefined' : v);
const out = [];
const t = (run) => { try { out.push(shown(run())); } catch (e) { out.push(told(e)); } };
const rsa = crypto.createPrivateKey(`-----BEGIN PRIVATE KEY-----
MIICdwIBADANBgkqhkiG9w0BAQEFAASCAmEwggJdAgEAAoGBANeydPJEPGGuiZDO
aZ0UjCRUnL/qarTZTU60qgi60SgW+/EVUYI2GksiYh4KGkWLbmwc1Gja17B397FD
AI8tBYDolzQbutbg+Qe2OhT+rYQjhJBDSZ5MwlVtaa9fBL/LTXWZfvNg/wU3Du7f
KT3iqyW1sS/5bWYNVS5TfHa6DdXrAgMBAAECgYEApIFfffIa1ykllAJJPFsScxbx
IdGoJlvhARj64YORx3CYIAtxScz3irwjduOfm9C2m8/1FC9r9xPYHiKKx6e/nGWn
WX3HM6z4G5gGKajAucrCd0HPMbWZdGmR/r5oYSnPGTGEUqnRXL+mB591EtcGzNsm
ALurNCo1OPOTo+UEqrECQQDyvxnvKB3yCtSV1xeIFqZrFoqVyih7ewl6+j1HZOg1
62n+Os+uD2OfDO9tHFndmIGpelTNluIJux5jQ//4APuzAkEA43lIXx8FGl0raujF
h3VXbQazghqsBE458Ff0rJRQtjT2uNYiPmFlxuNjkBSnW35pwJetmtOPsIUiTlMM
ZtRA6QJAawLZ0PdTdC9YFhIzOngZtx3BzFTJUd4kiMUmHIIcaCC2oi+U/DumhCg0
qFoWN70Sc/8MwXEhhn6p38LLZa4xRwJBAMLfE/DpUiXTy247G32AOPVd2EqNLvBB
U8FimGmAZeSyWureB1gJeHd6NcEo8HahRVeImWEZ/O7sHweaffVZwIECQC7vyMYJ
0YwMCGRGEL+/1wAdJbzExov+Nlt8ZzlptG5vRgRepmibyVH94jz1SS7EGMt4CihB
hvw0ehfO6bQLIzo=
-----END PRIVATE KEY-----
`);
const pub = crypto.createPublicKey(rsa);
for (const make of [crypto.createPrivateKey, crypto.createPublicKey]) {
  for (const wrong of [undefined, null, 5, true, '', 'abc', {}, [], { key: undefined }, { key: 5 }, { key: 'abc', format: 'nope' }, { key: 'abc', format: 'der' }, { key: Buffer.from('abc'), format: 'der', type: 'nope' }, { key: Buffer.from('abc'), format: 'der', type: 'pkcs1' }, { key: 'abc', passphrase: 5 }, Buffer.alloc(0), Buffer.from('abc'), rsa.symmetricKeySize, crypto.createSecretKey(Buffer.from('a')), Symbol.iterator]) t(() => make(wrong));
  for (const pem of ['-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----', '-----BEGIN PRIVATE KEY-----\n!!!\n-----END PRIVATE KEY-----', '-----BEGIN PRIVATE KEY-----\nAAAA\n', '-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----']) t(() => make(pem).type);
}
t(() => crypto.createPrivateKey(pub.export({ type: 'spki', format: 'pem' })));
t(() => crypto.createPrivateKey({ key: Buffer.from('abc'), format: 'der', type: 'pkcs8' }));
t(() => crypto.createPrivateKey({ key: Buffer.from('abc'), format: 'der', type: 'sec1' }));
t(() => crypto.createPublicKey({ key: Buffer.from('abc'), format: 'der', type: 'spki' }));
t(() => crypto.createPrivateKey(rsa));
t(() => crypto.createPublicKey(pub));
t(() => crypto.createPrivateKey({ key: rsa }));
t(() => new crypto.KeyObject('secret', {}));
t(() => new crypto.KeyObject('nope'));
t(() => crypto.KeyObject.from(5));
for (const other of [undefined, null, 5, {}, 'x']) t(() => pub.equals(other));
t(() => pub.equals(rsa));
t(() => crypto.createPublicKey(rsa).equals(pub));
// What a handler returns is cut at 16 KiB.
return JSON.stringify(out).length < 15000 ? out : out.map((entry) => crypto.createHash('md5').update(JSON.stringify(entry)).digest('hex').slice(0, 6));
