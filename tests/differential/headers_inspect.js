console.log(new Headers({ a: '1', 'B-c': '2' }));
console.log(new Headers().entries(), Object.keys(new Headers({ a: 1 })));
