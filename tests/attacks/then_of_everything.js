// Tries: `Object.prototype.then`, so that each object that is awaited or resolved with is one of the attacker's
// Meets: events that give objects away are the attacker's own
let times = 0;
Object.defineProperty(Object.prototype, 'then', { configurable: true, get() { times += 1; return undefined }, set() {} });
function attack() { return [] }
