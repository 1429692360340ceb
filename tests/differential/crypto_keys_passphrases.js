// OpenSSL's queue of errors may still hold those of an earlier script: this takes them out.
try { crypto.createPrivateKey('-'); } catch {}
const told = (e) => [e.name, e.message, e.code ?? null, e.library ?? null, e.reason ?? null];
const shown = (v) => (Buffer.isBuffer(v) ? v.toString('hex') : v instanceof ArrayBuffer ? ['ab', Buffer.from(v).toString('hex')] : typeof v === 'bigint' ? `${v}n` : v === undefined ? 'undefined' : v);
const out = [];
const t = (run) => { try { out.push(shown(run())); } catch (e) { out.push(told(e)); } };
for (const passphrase of ['', 'x', Buffer.from('y')]) t(() => crypto.createPrivateKey({ key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgA0JsORmHEaVVVn1L
c53N3bmlopHkNxb+Qz1/CwyUT5GhRANCAATlHU2KnpJI8i+KD07WH4HFHHrak5nh
MPqunKTFrCVOQTn9+EWiOV6O9CEhTxIcapgh62qXsN74bqKV/+cTVuTO
-----END PRIVATE KEY-----
`, passphrase }).asymmetricKeyType);
t(() => crypto.createSign('sha256').update('m').sign({ key: `-----BEGIN RSA PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-128-CBC,189871F1783D50259988BB95C876ACA5

WF3HiRVLWTx2o0dI1E6n5P077+xWD5/wLof2w3q7mHTSeXyPnnXgEnbFyEiv/0Q+
+BCDE3t3Ow4Wbl0DCoZ8aly37rx2ASmOkTJRRys+MW4EizlfTrNLZJmHZLRJBjTW
rFirXtzq108KSs4P+QDNYGsTC//cX+GeY7nV7DfdvH+KleCbGrrYgWk1nvif6iZF
eXtHEzQZgT3soFHpBwI0F5eb4DvT3UlmKFvECOeRNHfzlV2LsGOjCJmFrkxpcVx+
PWQOfiOx3g2t1mwbotDXtfnzhTBHXntSjVjhFeLEgKicFS4IOOva5bbYFCrc2csd
hYuh1NMtFq3q1T+09m5VorA/+SXR7C592vCIfDTr02QZ6w2nzsOvNcBaSyAUCNuB
X4mUEITk59wXqIrsHAn+r7FM3cGvFm/sI04rpbfn1rOI9FjlOTZrSMB83fhc2bXh
t1Tww223lgg/l2a5REXMNgpNgmiOaGifQCRT8zi/BwyUX9RV6ce/Kx/DJQk/2pzG
CvnGzFspPe1HHJwS9VwLMuuakJ3vXcofyUZb2/4IMCw+izOkvNTOD286HIQddShH
vdeZmv5Cd85KwsLHpXSvcDXJysw0Vl1FjRnhBt30Ozw3uTph3JAwamiimf2jHdK/
ue3rZRUFiogeuhKJTHuwE0PJM6XZQJme47qh2+ZK4L0VdrwSQSl79jojlne+YtC8
HRlTS7vD3kOV4B8vsxyOOKoMYrphvRYfxCJPWZ9nxk2S6GRa1bFMrqyQVccBQUt0
m6Mqx5ckJHINGJMRPYwh9EXsPNfw1k3/S6wHvBxLdqJDt/c7Gr6Ogy6YXhmQEJ5s
-----END RSA PRIVATE KEY-----
`, passphrase: 'open sesame' }, 'hex'));
t(() => crypto.privateEncrypt({ key: `-----BEGIN ENCRYPTED PRIVATE KEY-----
MIIC5TBfBgkqhkiG9w0BBQ0wUjAxBgkqhkiG9w0BBQwwJAQQ8kUOe+rD6uwFwLui
KRSXUwICCAAwDAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEGnGwVcpkUbbhhXp
AetgIKAEggKAXU/FtIh/ueELnv5QTaJQLqYBdrcOpp3MVpSwGr951CJaIJc/hlng
IwJp7ytc6794GWt1WLtENCWGrUGqx316NhSCgSIpvQpguhoIfdxiHoptAAIuHq1Y
kjCMLI4xkAC1BIQ/AvJ2ywui3oakfBq6qaCxQ841+SwX5nC9iOfP3vMzrWK9Mwvx
b6JMmkqbki6ZXX3c6vvLjWdnfQqEs2yafbuAXYG6i692VxYIfazD8Jayo5eMMw/c
4C6U48eJauLPaHRmhI5EA0halHmmdeXhgG9yuF+1QpRwGaB1/AAzN7p3BMMmRhvZ
nh2uwIYAHtX4v4oCXzoImgsj0Cg2ZE77Wo2VIDg5EDRiDw1Pu6SLEuyN+c+chbZb
IGcNZ/1dL06viy4YE7JqDWTjBw7x3GxiJ+zbGdZXCmAMBKLWEL866vMZE8SeSe81
fjrRhuDg/LZGuzv/8uJNqLGl/e23KnmWaWNh9GtewGvqjxk1CFDd5rd7y85sXb7g
QhUBkAi37CyhdwP66MFP8o1ms2/A2KbfTiwu4VWZf2BXHK6R1qeMehXcIKZyWTJh
SvrnyVhI9l6VqSZ8JcGSLKdkEvtWhhcYFIiG+Ep5TC8NxeQAYSxVaB2WiCTgTsiv
VE4btTa2rNAeuRBQk/JSsiCRMi6/o2rF/vSRWBtbhZVEFH7toEMiNveRybfQ56+Z
nHt4P/aOeNJmBsdFANfreWGaLeJrlW6/fECWSbjRQRKW7QDUAPvTx+LPBLDBphGm
0/5q269JzoPOdVv1mzGUZOXypKhJYxRD8GPBZjq9R8XpF9k/V2WLPb98nTjsFsHz
ynTwNRaowSO3QbQbDWmPeb9gIx4eG/W6fw==
-----END ENCRYPTED PRIVATE KEY-----
`, passphrase: 'open sesame' }, Buffer.from('m')).toString('hex'));
t(() => crypto.createPublicKey({ key: `-----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-256-CBC,5E563852674E8C292830871C2CB53361

VGwKaqNH3ZTsYHfOyQS+8/MFXFCk4Otnknt6onFRXLt8j03eYMcUmZjrFItZMPfD
ZnsDdS7OLFiXGa1IZSO62tl4JYqckAd6WdWhP2S4JRIu8TcbKi0PA2dr+gAk4G5K
I0LdsTUqb3d2vkzjJ+3XxFTEIE4G//dmCdU5OKfoe1Y=
-----END EC PRIVATE KEY-----
`, passphrase: 'open sesame' }).export({ format: 'jwk' }));
t(() => crypto.createVerify('sha256').update('m').verify({ key: `-----BEGIN RSA PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-128-CBC,189871F1783D50259988BB95C876ACA5

WF3HiRVLWTx2o0dI1E6n5P077+xWD5/wLof2w3q7mHTSeXyPnnXgEnbFyEiv/0Q+
+BCDE3t3Ow4Wbl0DCoZ8aly37rx2ASmOkTJRRys+MW4EizlfTrNLZJmHZLRJBjTW
rFirXtzq108KSs4P+QDNYGsTC//cX+GeY7nV7DfdvH+KleCbGrrYgWk1nvif6iZF
eXtHEzQZgT3soFHpBwI0F5eb4DvT3UlmKFvECOeRNHfzlV2LsGOjCJmFrkxpcVx+
PWQOfiOx3g2t1mwbotDXtfnzhTBHXntSjVjhFeLEgKicFS4IOOva5bbYFCrc2csd
hYuh1NMtFq3q1T+09m5VorA/+SXR7C592vCIfDTr02QZ6w2nzsOvNcBaSyAUCNuB
X4mUEITk59wXqIrsHAn+r7FM3cGvFm/sI04rpbfn1rOI9FjlOTZrSMB83fhc2bXh
t1Tww223lgg/l2a5REXMNgpNgmiOaGifQCRT8zi/BwyUX9RV6ce/Kx/DJQk/2pzG
CvnGzFspPe1HHJwS9VwLMuuakJ3vXcofyUZb2/4IMCw+izOkvNTOD286HIQddShH
vdeZmv5Cd85KwsLHpXSvcDXJysw0Vl1FjRnhBt30Ozw3uTph3JAwamiimf2jHdK/
ue3rZRUFiogeuhKJTHuwE0PJM6XZQJme47qh2+ZK4L0VdrwSQSl79jojlne+YtC8
HRlTS7vD3kOV4B8vsxyOOKoMYrphvRYfxCJPWZ9nxk2S6GRa1bFMrqyQVccBQUt0
m6Mqx5ckJHINGJMRPYwh9EXsPNfw1k3/S6wHvBxLdqJDt/c7Gr6Ogy6YXhmQEJ5s
-----END RSA PRIVATE KEY-----
`, passphrase: 'open sesame' }, crypto.createSign('sha256').update('m').sign({ key: `-----BEGIN RSA PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-128-CBC,189871F1783D50259988BB95C876ACA5

WF3HiRVLWTx2o0dI1E6n5P077+xWD5/wLof2w3q7mHTSeXyPnnXgEnbFyEiv/0Q+
+BCDE3t3Ow4Wbl0DCoZ8aly37rx2ASmOkTJRRys+MW4EizlfTrNLZJmHZLRJBjTW
rFirXtzq108KSs4P+QDNYGsTC//cX+GeY7nV7DfdvH+KleCbGrrYgWk1nvif6iZF
eXtHEzQZgT3soFHpBwI0F5eb4DvT3UlmKFvECOeRNHfzlV2LsGOjCJmFrkxpcVx+
PWQOfiOx3g2t1mwbotDXtfnzhTBHXntSjVjhFeLEgKicFS4IOOva5bbYFCrc2csd
hYuh1NMtFq3q1T+09m5VorA/+SXR7C592vCIfDTr02QZ6w2nzsOvNcBaSyAUCNuB
X4mUEITk59wXqIrsHAn+r7FM3cGvFm/sI04rpbfn1rOI9FjlOTZrSMB83fhc2bXh
t1Tww223lgg/l2a5REXMNgpNgmiOaGifQCRT8zi/BwyUX9RV6ce/Kx/DJQk/2pzG
CvnGzFspPe1HHJwS9VwLMuuakJ3vXcofyUZb2/4IMCw+izOkvNTOD286HIQddShH
vdeZmv5Cd85KwsLHpXSvcDXJysw0Vl1FjRnhBt30Ozw3uTph3JAwamiimf2jHdK/
ue3rZRUFiogeuhKJTHuwE0PJM6XZQJme47qh2+ZK4L0VdrwSQSl79jojlne+YtC8
HRlTS7vD3kOV4B8vsxyOOKoMYrphvRYfxCJPWZ9nxk2S6GRa1bFMrqyQVccBQUt0
m6Mqx5ckJHINGJMRPYwh9EXsPNfw1k3/S6wHvBxLdqJDt/c7Gr6Ogy6YXhmQEJ5s
-----END RSA PRIVATE KEY-----
`, passphrase: 'open sesame' })));
t(() => crypto.createSign('sha256').update('m').sign({ key: `-----BEGIN RSA PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-128-CBC,189871F1783D50259988BB95C876ACA5

WF3HiRVLWTx2o0dI1E6n5P077+xWD5/wLof2w3q7mHTSeXyPnnXgEnbFyEiv/0Q+
+BCDE3t3Ow4Wbl0DCoZ8aly37rx2ASmOkTJRRys+MW4EizlfTrNLZJmHZLRJBjTW
rFirXtzq108KSs4P+QDNYGsTC//cX+GeY7nV7DfdvH+KleCbGrrYgWk1nvif6iZF
eXtHEzQZgT3soFHpBwI0F5eb4DvT3UlmKFvECOeRNHfzlV2LsGOjCJmFrkxpcVx+
PWQOfiOx3g2t1mwbotDXtfnzhTBHXntSjVjhFeLEgKicFS4IOOva5bbYFCrc2csd
hYuh1NMtFq3q1T+09m5VorA/+SXR7C592vCIfDTr02QZ6w2nzsOvNcBaSyAUCNuB
X4mUEITk59wXqIrsHAn+r7FM3cGvFm/sI04rpbfn1rOI9FjlOTZrSMB83fhc2bXh
t1Tww223lgg/l2a5REXMNgpNgmiOaGifQCRT8zi/BwyUX9RV6ce/Kx/DJQk/2pzG
CvnGzFspPe1HHJwS9VwLMuuakJ3vXcofyUZb2/4IMCw+izOkvNTOD286HIQddShH
vdeZmv5Cd85KwsLHpXSvcDXJysw0Vl1FjRnhBt30Ozw3uTph3JAwamiimf2jHdK/
ue3rZRUFiogeuhKJTHuwE0PJM6XZQJme47qh2+ZK4L0VdrwSQSl79jojlne+YtC8
HRlTS7vD3kOV4B8vsxyOOKoMYrphvRYfxCJPWZ9nxk2S6GRa1bFMrqyQVccBQUt0
m6Mqx5ckJHINGJMRPYwh9EXsPNfw1k3/S6wHvBxLdqJDt/c7Gr6Ogy6YXhmQEJ5s
-----END RSA PRIVATE KEY-----
`, passphrase: 'wrong' }, 'hex'));
t(() => crypto.createSign('sha256').update('m').sign(`-----BEGIN RSA PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-128-CBC,189871F1783D50259988BB95C876ACA5

WF3HiRVLWTx2o0dI1E6n5P077+xWD5/wLof2w3q7mHTSeXyPnnXgEnbFyEiv/0Q+
+BCDE3t3Ow4Wbl0DCoZ8aly37rx2ASmOkTJRRys+MW4EizlfTrNLZJmHZLRJBjTW
rFirXtzq108KSs4P+QDNYGsTC//cX+GeY7nV7DfdvH+KleCbGrrYgWk1nvif6iZF
eXtHEzQZgT3soFHpBwI0F5eb4DvT3UlmKFvECOeRNHfzlV2LsGOjCJmFrkxpcVx+
PWQOfiOx3g2t1mwbotDXtfnzhTBHXntSjVjhFeLEgKicFS4IOOva5bbYFCrc2csd
hYuh1NMtFq3q1T+09m5VorA/+SXR7C592vCIfDTr02QZ6w2nzsOvNcBaSyAUCNuB
X4mUEITk59wXqIrsHAn+r7FM3cGvFm/sI04rpbfn1rOI9FjlOTZrSMB83fhc2bXh
t1Tww223lgg/l2a5REXMNgpNgmiOaGifQCRT8zi/BwyUX9RV6ce/Kx/DJQk/2pzG
CvnGzFspPe1HHJwS9VwLMuuakJ3vXcofyUZb2/4IMCw+izOkvNTOD286HIQddShH
vdeZmv5Cd85KwsLHpXSvcDXJysw0Vl1FjRnhBt30Ozw3uTph3JAwamiimf2jHdK/
ue3rZRUFiogeuhKJTHuwE0PJM6XZQJme47qh2+ZK4L0VdrwSQSl79jojlne+YtC8
HRlTS7vD3kOV4B8vsxyOOKoMYrphvRYfxCJPWZ9nxk2S6GRa1bFMrqyQVccBQUt0
m6Mqx5ckJHINGJMRPYwh9EXsPNfw1k3/S6wHvBxLdqJDt/c7Gr6Ogy6YXhmQEJ5s
-----END RSA PRIVATE KEY-----
`));
// What a handler returns is cut at 16 KiB.
return JSON.stringify(out).length < 15000 ? out : out.map((entry) => crypto.createHash('md5').update(JSON.stringify(entry)).digest('hex').slice(0, 6));
