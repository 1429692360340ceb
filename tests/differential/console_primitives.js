console.log('plain', 1, -0, 1.5, true, null, undefined, 10n, Symbol('s'), NaN, Infinity);
console.log(); console.log(''); console.log('a\nb'); console.log(['a\nb', "it's", 'both \' and "', 'all \' " `', '\u0000\u001b\ud800é']);
console.log(new Date(0), new Date(NaN), /re/g, Symbol.iterator, Object('s'), Object(1), Object(1n), Object(Symbol('x')));
console.info('i'); console.warn('w'); console.error('e'); console.debug('d');
