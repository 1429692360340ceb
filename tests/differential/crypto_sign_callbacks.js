// OpenSSL's queue of errors may still hold those of an earlier script: this takes them out.
try { crypto.createPrivateKey('-'); } catch {}
const key = `-----BEGIN PRIVATE KEY-----
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
`; const publicKey = crypto.createPublicKey(key);
const order = [];
const signature = await new Promise((done) => { crypto.sign('sha256', 'm', key, (error, s) => { order.push([error, s.toString('hex')]); done(s); }); order.push('after sign'); });
await new Promise((done) => crypto.verify('sha256', 'm', publicKey, signature, (error, right) => { order.push([error, right]); done(); }));
await new Promise((done) => crypto.verify('sha256', 'n', publicKey, signature, (error, right) => { order.push([error, right]); done(); }));
await new Promise((done) => crypto.sign('sha256', 'm', { key, padding: 3 }, (error, s) => { order.push([error.code, s ?? null]); done(); }));
for (const run of [() => crypto.sign('sha256', 'm', key, 5), () => crypto.sign('sha256', 'm', key, null), () => crypto.sign('sha256', 5, key, () => 1), () => crypto.verify('sha256', 'm', key, signature, 'x')]) { try { run(); } catch (e) { order.push([e.name, e.message, e.code]); } }
return order;
