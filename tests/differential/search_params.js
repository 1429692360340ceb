const p = new URLSearchParams('?a=1&b=2&a=3&c=%E4%F6&d=a%2Bb+c&e');
p.append('n', 1); p.set('b', null); p.delete('e'); p.sort();
const out = [p.toString(), p.getAll('a'), p.has('a', '3'), p.has('a', '4'), p.size, [...p.keys()], [...p.values()], [...p]];
const from = [new URLSearchParams([['x', '1'], ['y', '2']]), new URLSearchParams({ q: 'a b', r: undefined }), new URLSearchParams(new Map([['m', 'n']])), new URLSearchParams(p)];
const seen = []; p.forEach((v, k, s) => seen.push([k, v, s === p]));
return [out, from.map(String), seen];
