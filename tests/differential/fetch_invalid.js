const seen = [];
for (const args of [[], [null], [undefined], [''], [' '], [5], [{}], [[]], ['relative/path'], ['/abs'], ['//host/x'], ['http:'], ['http://'], ['https://'], ['http:///x'], ['http://[::1'], ['http://a b/'], ['http://a:99999/'], ['http://%'], ['ftp://h/'], ['file:///etc/passwd'], ['data:text/plain,hi'], ['javascript:1'], ['blob:x'], ['about:blank'], ['mailto:a@b'], ['HTTP'], ['http://h/', { method: 'BAD METHOD' }], ['http://h/', { method: 'GET', body: 'x' }], ['http://h/', { signal: {} }], ['http://h/', { headers: 5 }], ['http://h/', { headers: 'a: b' }], ['http://h/', { headers: [['a', 'b', 'c']] }], ['http://h/', { headers: { 'a b': 'c' } }], ['http://h/', { signal: 'x' }], ['http://h/', { headers: [5] }]]) {
  try { const p = fetch(...args); seen.push(p instanceof Promise); await p; seen.push('resolved'); } catch (e) { seen.push([e.name, e.message, e.code ?? null, e.type ?? null]); }
}
return seen;
