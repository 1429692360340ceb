// OpenSSL's queue of errors may still hold those of an earlier script: this takes them out.
try { crypto.createPrivateKey('-'); } catch {}
const told = (e) => [e.name, e.message, e.code ?? null, e.library ?? null, e.reason ?? null];
const shown = (v) => (Buffer.isBuffer(v) ? v.toString('hex') : v instanceof ArrayBuffer ? ['ab', Buffer.from(v).toString('hex')] : typeof v === 'bigint' ? `${v}n` : v === undefined ? 'undefined' : v);
const out = [];
const t = (run) => { try { out.push(shown(run())); } catch (e) { out.push(told(e)); } };
const make = (key) => () => [crypto.createPublicKey({ key, format: 'jwk' }).asymmetricKeyType];
const makePrivate = (key) => () => [crypto.createPrivateKey({ key, format: 'jwk' }).asymmetricKeyType];
for (const key of [{}, { kty: 5 }, { kty: 'nope' }, { kty: 'oct', k: 'AA' }, { kty: 'RSA' }, { kty: 'RSA', n: 'AQAB' }, { kty: 'RSA', n: 5, e: 'AQAB' }, { kty: 'RSA', n: 'AQAB', e: 'AQAB' }, { kty: 'EC' }, { kty: 'EC', crv: 'nope', x: 'AA', y: 'AA' }, { kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA' }, { kty: 'EC', crv: 5, x: 'AA', y: 'AA' }, { kty: 'OKP' }, { kty: 'OKP', crv: 'nope', x: 'AA' }, { kty: 'OKP', crv: 'Ed25519', x: 'AA' }]) { t(makePrivate(key)); if (key.e !== 'AQAB' || key.n === 5) t(make(key)); }
const ec = crypto.createPrivateKey(`-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgA0JsORmHEaVVVn1L
c53N3bmlopHkNxb+Qz1/CwyUT5GhRANCAATlHU2KnpJI8i+KD07WH4HFHHrak5nh
MPqunKTFrCVOQTn9+EWiOV6O9CEhTxIcapgh62qXsN74bqKV/+cTVuTO
-----END PRIVATE KEY-----
`).export({ format: 'jwk' });
t(makePrivate(ec));
t(make(ec));
t(makePrivate({ ...ec, d: undefined }));
t(makePrivate({ ...ec, d: 5 }));
t(make({ ...ec, x: ec.y }));
const ed = crypto.createPrivateKey(`-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ6a3H4mHgzVaDakehXqvR9QIokVeKkAsmEb29B4tSaI
-----END PRIVATE KEY-----
`).export({ format: 'jwk' });
t(makePrivate(ed));
t(makePrivate({ ...ed, d: undefined }));
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
`).export({ format: 'jwk' });
t(makePrivate(rsa));
t(makePrivate({ ...rsa, d: undefined }));
t(makePrivate({ ...rsa, p: undefined }));
t(make({ ...rsa, extra: 1, use: 'sig' }));
for (const key of ['text', 5, null, undefined, []]) t(make(key));
// What a handler returns is cut at 16 KiB.
return JSON.stringify(out).length < 15000 ? out : out.map((entry) => crypto.createHash('md5').update(JSON.stringify(entry)).digest('hex').slice(0, 6));
