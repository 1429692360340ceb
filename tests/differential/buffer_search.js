const b = Buffer.from('the quick brown fox jumps over the lazy dog, the end');
return [b.indexOf('the'), b.indexOf('the', 1), b.indexOf('the', -10), b.lastIndexOf('the'), b.lastIndexOf('the', 20), b.lastIndexOf('the', -30), b.indexOf(Buffer.from('fox')), b.indexOf(0x71), b.indexOf('zzz'), b.indexOf(''), b.indexOf('', 5), b.lastIndexOf(''),
  b.includes('lazy'), b.includes('lazy', 40), b.includes(Buffer.from([0x78])), b.indexOf('6f78', 0, 'hex'), b.indexOf('b3g=', 0, 'base64'), b.indexOf(new Uint8Array([0x66, 0x6f])),
  Buffer.from('aaaa').indexOf('aa', 1), Buffer.from('aaaa').lastIndexOf('aa'), b.indexOf('t', 1e9), b.lastIndexOf('t', -1e9), b.indexOf('e', null), b.indexOf('e', undefined), b.indexOf('e', {}), b.lastIndexOf('e', null),
  (() => { try { b.indexOf({}); } catch (e) { return [e.name, e.code, e.message]; } })(), (() => { try { b.includes(null); } catch (e) { return [e.name, e.code, e.message]; } })()];
