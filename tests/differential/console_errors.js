const first = (e) => { e.stack = String(e); return e; };
console.log(first(new Error('one')), [first(new TypeError('two'))], { e: first(new RangeError('three')) });
class Custom extends Error { constructor() { super('four'); this.name = 'Custom'; this.code = 'X'; this.info = { a: 1 }; } }
console.log(first(new Custom())); console.log(first(Object.assign(new Error('five'), { status: 500, response: { body: 'x' } })));
console.log(first(new Error('six', { cause: first(new Error('seven')) }))); console.log(first(new AggregateError([first(new Error('eight'))], 'nine')));
console.error(first(new Error(''))); const noStack = new Error('ten'); noStack.stack = undefined; console.log(noStack); const del = new Error('eleven'); delete del.stack; console.log(del);
const renamed = new Error('twelve'); renamed.stack = 'Error: twelve\n    at somewhere (function.js:1:2)'; renamed.name = 'Renamed'; console.log(renamed); console.log(`${first(new Error('x'))}`);
