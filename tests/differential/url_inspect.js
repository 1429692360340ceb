console.log(new URL('https://u:p@example.org:81/p?a=1&b=2#h'));
console.log({ url: new URL('http://a/') });
console.log({ a: { b: { c: new URL('http://a/') } } });
console.log(new URLSearchParams('a=1&b=two words'), [new URLSearchParams()]);
console.log('%s', new URL('http://a/x'), String(new URLSearchParams({ q: 'é' })));
