const seen = [];
for (const [url, base] of [['nope'], ['http://[::1'], ['/x', 'nope'], ['http://a b/'], ['https://exa%23mple.org'], ['//x'], ['http://1.2.3.4.5/'], ['']]) {
  try { seen.push(new URL(url, base).href); }
  catch (e) { seen.push([e.name, e.message, e.code, e.input, e.base, e instanceof TypeError, Object.keys(e)]); }
}
return [seen, URL.canParse('nope'), URL.canParse('/a', 'http://b'), URL.parse('nope'), URL.parse('/a', 'http://b').href];
