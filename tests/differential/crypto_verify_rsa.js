// OpenSSL's queue of errors may still hold those of an earlier script: this takes them out.
try { crypto.createPrivateKey('-'); } catch {}
const told = (e) => [e.name, e.message, e.code ?? null, e.library ?? null, e.reason ?? null];
const shown = (v) => (Buffer.isBuffer(v) ? v.toString('hex') : v instanceof ArrayBuffer ? ['ab', Buffer.from(v).toString('hex')] : typeof v === 'bigint' ? `${v}n` : v === undefined ? 'undefined' : v);
const out = [];
const t = (run) => { try { out.push(shown(run())); } catch (e) { out.push(told(e)); } };
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
`;
const publicKey = crypto.createPublicKey(key);
const pem = publicKey.export({ type: 'spki', format: 'pem' });
const signature = crypto.createSign('sha256').update('message').sign(key);
for (const verifier of [publicKey, pem, key, { key: pem }, { key: publicKey }, publicKey.export({ type: 'pkcs1', format: 'pem' }), { key: publicKey.export({ type: 'spki', format: 'der' }), format: 'der', type: 'spki' }, { key: publicKey.export({ format: 'jwk' }), format: 'jwk' }, Buffer.from(pem), crypto.createPrivateKey(key)]) t(() => crypto.createVerify('sha256').update('message').verify(verifier, signature));
t(() => crypto.createVerify('sha256').update('other').verify(pem, signature));
t(() => crypto.createVerify('sha1').update('message').verify(pem, signature));
for (const encoding of ['hex', 'base64', 'base64url', 'latin1']) t(() => crypto.createVerify('sha256').update('message').verify(pem, signature.toString(encoding), encoding));
for (const wrong of [Buffer.alloc(0), Buffer.alloc(5), Buffer.alloc(128), Buffer.alloc(129), 'text', signature.subarray(1), Buffer.concat([signature, Buffer.alloc(1)])]) t(() => crypto.createVerify('sha256').update('message').verify(pem, wrong));
for (const wrong of [undefined, null, 5, {}]) t(() => crypto.createVerify('sha256').update('message').verify(pem, wrong));
for (const wrong of [undefined, null, '', 5, {}, 'abc', crypto.createSecretKey(Buffer.from('a'))]) t(() => crypto.createVerify('sha256').verify(wrong, signature));
t(() => crypto.verify('sha256', Buffer.from('message'), pem, signature));
t(() => crypto.verify('sha256', 'message', { key: pem, padding: 6 }, signature));
t(() => crypto.verify('sha256', 'message', pem));
t(() => crypto.verify('nope', 'message', pem, signature));
t(() => { const v = crypto.createVerify('sha256'); v.verify(pem, signature); return v.verify(pem, signature); });
t(() => crypto.createVerify('sha256') instanceof crypto.Verify);
// What a handler returns is cut at 16 KiB.
return JSON.stringify(out).length < 15000 ? out : out.map((entry) => crypto.createHash('md5').update(JSON.stringify(entry)).digest('hex').slice(0, 6));
