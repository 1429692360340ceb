// Tries: setters and getters on `Object.prototype` under all names of fields of ours
// Meets: objects of ours inherit from nothing
const seen = [];
const names = ['owner', 'attempt', 'run', 'next', 'done', 'settle', 'promise', 'resume', 'callback', 'wake', 'waiting', 'key', 'state', 'callAtEnd', 'logs', 'event', 'detail', 'payload', 'kind', 'id', 'timer', 'sibling', ...HOST];
for (const name of names) Object.defineProperty(Object.prototype, name, { configurable: true,
  get() { if (this !== Object.prototype) seen.push(this); return undefined }, set(v) { seen.push(this, v) } });
async function attack() { touchAll(); await null; touchAll();
  for (const name of names) delete Object.prototype[name];
  return seen.filter((o) => isHosts(o) || isShared(o)).map(() => 'host') }
