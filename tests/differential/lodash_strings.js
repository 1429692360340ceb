const words = ['fooBar', '--foo-bar--', 'Foo Bar', 'XMLHttpRequest2', 'déjà vu', '12 feet', "don't stop", '🏳️‍🌈 flag', 'ǅ'];
return [
  ...['camelCase', 'capitalize', 'deburr', 'escapeRegExp', 'kebabCase', 'lowerFirst', 'snakeCase', 'startCase', 'toUpper', 'upperFirst', 'words', 'size', 'toArray'].map((name) => words.map((word) => _[name](word))),
  _.pad('abc', 8, '_-'), _.padEnd('é', 3, '🙂'), _.truncate('hi-diddly-ho there, neighborino', { length: 24, separator: /,? +/ }), _.truncate('🏳️‍🌈🏳️‍🌈🏳️‍🌈', { length: 2, omission: '' }),
  _.parseInt('08'), _.repeat('ab', 3), _.split('a-b-c', '-', 2), _.startsWith('abc', 'b', 1), _.trim('-_-abc-_-', '_-'), _.uniqueId('x_').startsWith('x_'), _.toPath('a[0].b["c"]'), _.replace('Hi Fred', /fred/i, 'Barney'),
];
