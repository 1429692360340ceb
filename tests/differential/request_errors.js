const seen = [];
for (const make of [() => new Request('http://a/', { body: 'x' }), () => new Request('http://a/', { signal: {} }), () => new Request('http://[x'), () => new Request(new Request('http://a/', { method: 'POST', body: 'b' }), { method: 'GET' })]) {
  try { make(); seen.push('none'); } catch (e) { seen.push([e.name, e.message]); }
}
for (const url of ['relative', '/x', 'ftp://a/b', 'http:', undefined]) {
  try { await fetch(url); seen.push('none'); } catch (e) { seen.push([e.name, e.message]); }
}
return seen;
