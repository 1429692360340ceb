const seen = ['0g', 'g0', '616', '61zz62', '', 'ABcd', '6 1', '0x61', 'é1', '6162\n63'].map((text) => [text, Buffer.from(text, 'hex').toString('hex'), Buffer.from(text, 'HEX').length]);
const b = Buffer.alloc(4, 'x');
seen.push(b.write('61zz', 'hex'), b.toString(), b.write('626364656667', 1, 'hex'), b.toString(), b.write('6a6b', 2, 1, 'hex'), b.toString(), b.write('zz', 'hex'), Buffer.alloc(3).fill('ab', 'hex').toString('hex'), Buffer.from('616263').toString('hex', 1, 2), Buffer.byteLength('616', 'hex'));
return seen;
