// OpenSSL's queue of errors may still hold those of an earlier script: this takes them out.
try { crypto.createPrivateKey('-'); } catch {}
// As people sign what they send.
const now = 1700000000;
const b64 = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const jwt = (key, alg, sign) => { const head = `${b64({ alg, typ: 'JWT' })}.${b64({ sub: '1', iat: now })}`; return `${head}.${sign(head).toString('base64url')}`; };
const rsa = `-----BEGIN PRIVATE KEY-----
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
`; const ec = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgA0JsORmHEaVVVn1L
c53N3bmlopHkNxb+Qz1/CwyUT5GhRANCAATlHU2KnpJI8i+KD07WH4HFHHrak5nh
MPqunKTFrCVOQTn9+EWiOV6O9CEhTxIcapgh62qXsN74bqKV/+cTVuTO
-----END PRIVATE KEY-----
`; const ed = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ6a3H4mHgzVaDakehXqvR9QIokVeKkAsmEb29B4tSaI
-----END PRIVATE KEY-----
`;
const hs = jwt('k', 'HS256', (head) => crypto.createHmac('sha256', 'secret').update(head).digest());
const rs = jwt(rsa, 'RS256', (head) => crypto.createSign('RSA-SHA256').update(head).sign(rsa));
const eddsa = jwt(ed, 'EdDSA', (head) => crypto.sign(null, Buffer.from(head), ed));
const es = jwt(ec, 'ES256', (head) => crypto.sign('sha256', Buffer.from(head), { key: ec, dsaEncoding: 'ieee-p1363' }));
const [head, body, signature] = es.split('.');
const checked = crypto.verify('sha256', Buffer.from(`${head}.${body}`), { key: crypto.createPublicKey(ec), dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url'));
const oauth = crypto.createHmac('sha1', 'consumer&token').update('POST&https%3A%2F%2Fapi.example.com%2F1&a%3D1').digest('base64');
const email = crypto.createHash('sha256').update(' Ada@Example.com '.trim().toLowerCase()).digest('hex');
const iv = Buffer.alloc(16, 1); const cipher = crypto.createCipheriv('aes-256-cbc', crypto.createHash('sha256').update('password').digest(), iv);
const sealed = cipher.update(JSON.stringify({ email: 'ada@example.com' }), 'utf8', 'base64') + cipher.final('base64');
const password = crypto.scryptSync('hunter2', 'salt', 32).toString('hex');
const aws = ['20260101', 'eu-west-1', 's3', 'aws4_request'].reduce((key, part) => crypto.createHmac('sha256', key).update(part).digest(), 'AWS4secret').toString('hex');
const safe = crypto.timingSafeEqual(Buffer.from(hs), Buffer.from(hs));
return { hs, rs, eddsa, checked, oauth, email, sealed, password, aws, safe };
