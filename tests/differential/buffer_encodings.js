const b = Buffer.from('héllo wörld €😀', 'utf8');
const names = ['utf8', 'utf-8', 'UTF8', 'hex', 'base64', 'base64url', 'latin1', 'binary', 'ascii', 'ucs2', 'utf16le', 'HEX', 'BASE64URL'];
const out = names.map((n) => b.toString(n));
const back = names.map((n) => Buffer.from(b.toString(n), n).toString('hex'));
const lengths = names.map((n) => Buffer.byteLength('aGk_-w==', n));
return [out, back, lengths, names.map(Buffer.isEncoding), [null, '', 'x', 5].map(Buffer.isEncoding), b.toString('utf8', 1, 4), b.toString(undefined, 2), b.toString('hex', -3, 99)];
