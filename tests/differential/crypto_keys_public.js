// OpenSSL's queue of errors may still hold those of an earlier script: this takes them out.
try { crypto.createPrivateKey('-'); } catch {}
const told = (e) => [e.name, e.message, e.code ?? null, e.library ?? null, e.reason ?? null];
const shown = (v) => (Buffer.isBuffer(v) ? v.toString('hex') : v instanceof ArrayBuffer ? ['ab', Buffer.from(v).toString('hex')] : typeof v === 'bigint' ? `${v}n` : v === undefined ? 'undefined' : v);
const out = [];
const t = (run) => { try { out.push(shown(run())); } catch (e) { out.push(told(e)); } };
const cert = `-----BEGIN CERTIFICATE-----
MIIBGDCBv6ADAgECAgEBMAoGCCqGSM49BAMCMBYxFDASBgNVBAMMC2V4YW1wbGUu
Y29tMB4XDTI2MDEwMTAwMDAwMFoXDTQ2MDEwMTAwMDAwMFowFjEUMBIGA1UEAwwL
ZXhhbXBsZS5jb20wWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATlHU2KnpJI8i+K
D07WH4HFHHrak5nhMPqunKTFrCVOQTn9+EWiOV6O9CEhTxIcapgh62qXsN74bqKV
/+cTVuTOMAoGCCqGSM49BAMCA0gAMEUCIQCR5ARf132csqRdDfiYl6xWJeWGmKK8
YZqPzmmUmwfghQIgMNiYSlqbpM52+dm5q5Niy4CzxzNmXkokEoEkWsY4eR8=
-----END CERTIFICATE-----
`;
t(() => crypto.createPublicKey(cert).export({ format: 'jwk' }));
for (const pem of [`-----BEGIN PRIVATE KEY-----
MIIEvAIBADANBgkqhkiG9w0BAQEFAASCBKYwggSiAgEAAoIBAQDMRixCnbjA4LHW
lnqHSbSBIKrJHcw+VemzDXakvkRgX/T6VXzqNzEOV5GYCtVfphjB9b3ftIBhv4A9
IDbNj2qkktD07ToIzwFWgThxRhdVSdzq36RtTg8Ijn1P7CKuQ5v8qWSr1Npqw/c6
CT4gMfZw7AnNAvq2L/EXS3f7FWyAeZPiA2KuNBh4g5VEEvA067LYrdMmw0Pie9MR
2iecQhrLJyGCCHGxKmJ9KQ7bAwPr1rJgget1Hx28U+QwbbOqY5xuVUb9LmNZDaJM
ecAq48OGl8D8tzYKTohX5WrjfEuziCEeS16N8xj3Pf/nWVKty4NPyp4yAzedXauN
hBSlPrQNAgMBAAECggEAKUbVuzlJI6pTrSeXhz5Yu834zK5ZftAX6s8h5fyvbuT8
6Ne858vyvPHrcNRhlNQIhSrtrOY5mebbGB7qDAP6mdoz4IYOF8kSfWMbn2H5JYoJ
GqnJvS+MgJ9gSXXO9TUisD2fYsxePTwvePn0pIdMA7niaht7wzQxTJJ6olEMLXJm
ySBE93v57XL3AWx5xSdIXP0S0ddXzskh/pfK9iRmEaFtIeHLINFmj8B+kxgB44qg
h50PavVoV+IxrOrxbi3Kq58bP0GqanGQPiPVi1HOXrHAYn1v3vP7JCn/V/N2j7zX
l87gM31fg5JzOTMA1LKShJIeo6qm4W0LTMxhodhMaQKBgQD9wf4RmfE2aP5IJZRu
BugDgMCKyPNeZboZj9rPMuy6Ucn7Ic/FObZphRh7fmrFjapQeHJ/NIVIvtiBFodv
gG2+nLCpgjfV81T7Ql6KrLDQwzhpjD4ccwZB9KMdY4wPll4GWcqm8k6WaC0lipiC
hkXiuSyVn0CMH+fAK4tAJjVr1QKBgQDOFD82VslLplnF1fVjO4zV6LhD77eOLz57
z/SEzWKxKtXTU8wvoeO6syg53ZdSJdAEFj22DKHKaQk0mPULDU1go/td9w13Xzxs
/kOs8DQftCROlfSCUNPKzLpiTR/6ZyDFUzURlpiAFeNYnMO2VCP8Q7FiimTdGjmE
6Q0OiznbWQKBgASEwtBvbFMqtXR1btoyt0jwrv0JrQO+Tf0MibnszzhWIoGdTYTW
jT/9xbzVOHOCHUlHi8pmFgWAmHxb+Vdr8whU4/RwxCvEJHxA50wS3ScqgsOmYqjB
B5h/EbSBREo2xD/as3gbknitLDih6itQ1se9wmR7rHuSSd8rJ1SiGYttAoGAMV1y
Qv8JG0EPEjANpya1tuwXb9a1nq68hgYrqcBVWuFK9WOGbwaVubx+71WgkQIT0VbO
k5R1ETqWBO57DJm0JmlBpqGurSC4JdfGuF+V7N5HMDgFqU3ZXiQqpa+Z8G7Rz9L9
zGfJwiz8F9b9nuiK8jv4+wTx4nEMxETbZtd9FYkCgYBdK3Mrk9wZ6NFFgZgbBxza
PCNk/PhfFfMDBJDD22eghUCqc4WMLvUnmblD6e16KduYiG2M3LFaBR4eJj2dvnwb
UVddsXLbfws9V7Yy2YC/DAiyTL3neoLRVmDioFkEpXzqwO0BndaVtNHnnBA6KP/p
fyRjbyE4BihpAxGfWJLBGw==
-----END PRIVATE KEY-----
`, `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgA0JsORmHEaVVVn1L
c53N3bmlopHkNxb+Qz1/CwyUT5GhRANCAATlHU2KnpJI8i+KD07WH4HFHHrak5nh
MPqunKTFrCVOQTn9+EWiOV6O9CEhTxIcapgh62qXsN74bqKV/+cTVuTO
-----END PRIVATE KEY-----
`, `-----BEGIN PRIVATE KEY-----
MIGEAgEAMBAGByqGSM49AgEGBSuBBAAKBG0wawIBAQQgRf8LA6KM9ltvnPvWlKtd
+AwtUlkT5rJYa3dOwDITiXyhRANCAATRP+/wXdumTNuSxCQeT2CdbEP4URsNxwxg
SbRrPD856Sdn0ETkE+b7HUp+n79dU/lncvNdYYLZLbIyh2SH5K3c
-----END PRIVATE KEY-----
`, `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ6a3H4mHgzVaDakehXqvR9QIokVeKkAsmEb29B4tSaI
-----END PRIVATE KEY-----
`, `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VuBCIEIDgDoLuV7RiipIcH8NJYRq8SY0t8Cwz/2ueBl8x9JKBb
-----END PRIVATE KEY-----
`]) {
  const key = crypto.createPublicKey(pem);
  t(() => [key.type, key.asymmetricKeyType, JSON.stringify(key.asymmetricKeyDetails, (_, v) => (typeof v === 'bigint' ? `${v}n` : v)), Object.prototype.toString.call(key)]);
  for (const type of ['spki', 'pkcs1', 'pkcs8', 'sec1', undefined]) for (const format of ['pem', 'der', 'nope', undefined]) t(() => key.export({ type, format }));
  t(() => key.export({ format: 'jwk' }));
  t(() => crypto.createPublicKey({ key: key.export({ format: 'jwk' }), format: 'jwk' }).equals(key));
  t(() => crypto.createPublicKey(key.export({ type: 'spki', format: 'pem' })).equals(key));
  t(() => crypto.createPublicKey({ key: key.export({ type: 'spki', format: 'der' }), format: 'der', type: 'spki' }).equals(key));
  t(() => crypto.createPublicKey({ key: crypto.createPrivateKey(pem).export({ type: 'pkcs8', format: 'der' }), format: 'der', type: 'pkcs8' }).equals(key));
  t(() => crypto.createPublicKey({ key: crypto.createPrivateKey(pem).export({ format: 'jwk' }), format: 'jwk' }).equals(key));
  t(() => key.export());
}
const rsa = crypto.createPublicKey(`-----BEGIN PRIVATE KEY-----
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
t(() => crypto.createPublicKey(rsa.export({ type: 'pkcs1', format: 'pem' })).equals(rsa));
t(() => crypto.createPublicKey({ key: rsa.export({ type: 'pkcs1', format: 'der' }), format: 'der', type: 'pkcs1' }).equals(rsa));
t(() => crypto.createPublicKey(`\n\n  ${rsa.export({ type: 'spki', format: 'pem' })}  \n`).equals(rsa));
t(() => crypto.createPublicKey(rsa.export({ type: 'spki', format: 'pem' }).replaceAll('\n', '\r\n')).equals(rsa));
t(() => crypto.createPublicKey(`# a comment\n${rsa.export({ type: 'spki', format: 'pem' })}`).equals(rsa));
// What a handler returns is cut at 16 KiB.
return JSON.stringify(out).length < 15000 ? out : out.map((entry) => crypto.createHash('md5').update(JSON.stringify(entry)).digest('hex').slice(0, 6));
