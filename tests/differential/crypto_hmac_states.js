// OpenSSL's queue of errors may still hold those of an earlier script: this takes them out.
try { crypto.createPrivateKey('-'); } catch {}
const told = (e) => [e.name, e.message, e.code ?? null, e.library ?? null, e.reason ?? null];
const shown = (v) => (Buffer.isBuffer(v) ? v.toString('hex') : v instanceof ArrayBuffer ? ['ab', Buffer.from(v).toString('hex')] : typeof v === 'bigint' ? `${v}n` : v === undefined ? 'undefined' : v);
const out = [];
const t = (run) => { try { out.push(shown(run())); } catch (e) { out.push(told(e)); } };
t(() => { const h = crypto.createHmac('md5', 'k'); return [h.digest('hex'), h.digest('hex'), h.digest().length]; });
t(() => { const h = crypto.createHmac('md5', 'k'); h.digest(); return h.update('a'); });
t(() => crypto.createHmac('sha256', 'k').update('abc', 'hex'));
t(() => crypto.createHmac('sha256', 'k').update('ab', 'hex').update('YQ==', 'base64').digest('base64url'));
for (const encoding of [undefined, 'hex', 'latin1', 'buffer', 'nope', null]) t(() => crypto.createHmac('sha1', 'k').update('a').digest(encoding));
t(() => crypto.createHmac('sha256', 'key').update(undefined));
t(() => crypto.createHmac('sha1', 'key').copy);
// As webhooks are signed.
t(() => `sha256=${crypto.createHmac('sha256', 'whsec').update(JSON.stringify({ a: 1, b: ['ü'] })).digest('hex')}`);
t(() => crypto.createHmac('sha1', `${encodeURIComponent('secret&')}&`).update('GET&http%3A%2F%2Fexample.com&a%3Db').digest('base64'));
t(() => ['20150830', 'us-east-1', 'iam', 'aws4_request'].reduce((key, part) => crypto.createHmac('sha256', key).update(part).digest(), 'AWS4wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY').toString('hex'));
// What a handler returns is cut at 16 KiB.
return JSON.stringify(out).length < 15000 ? out : out.map((entry) => crypto.createHash('md5').update(JSON.stringify(entry)).digest('hex').slice(0, 6));
