const h = new Headers({ 'Content-Type': 'text/plain', 'X-B': 'b', accept: 'a' });
h.append('x-b', 'c'); h.append('Set-Cookie', 'a=1'); h.append('Set-Cookie', 'b=2'); h.set('ACCEPT', 'z'); h.delete('content-type');
const seen = []; h.forEach((v, k) => seen.push([k, v]));
return [[...h], [...h.keys()], [...h.values()], [...h.entries()], h.get('x-B'), h.has('nope'), h.get('nope'), h.raw(), seen, Object.prototype.toString.call(h), typeof h[Symbol.iterator]];
