// Stands around each attack of this folder. An attack defines `attack(e)`, which returns what it has got hold of: an
// empty array where that is nothing. Beside it run an event that fails for good reasons and one that succeeds.
//
// Captured first, as a careful library would do it: what an attack replaces then harms the attack alone.
const Real = RetryError, mark = { n: [] };
const source = ((f) => (x) => f.call(x))(Function.prototype.toString), own = Reflect.ownKeys, at = Reflect.get;
const script = () => TEXT;
const isOurs = (f) => typeof f === 'function' && !/\[native code\]/.test(`${f}`) && !script().includes(`${f}`);

// What no script may see: attempts, records, the pump, the buffers that Python shares, modules that bring all of it.
const HOST = ['seq', 'handler', 'lastAtEnd', 'fetchesRunning', 'addRecord', 'nextTurn', 'bindSync', 'startEach', 'records', 'waitingFirst', 'makeCurrent', 'getContinuationPreservedEmbedderData'];
// What lazy modules are given instead. A script may get hold of it, and of no more.
const CAPABILITIES = ['clearTimer', 'enqueueTurn', 'hostFetch', 'hostSync', 'primordials', 'setTimer', 'touch'];
const isHosts = (o) => { try { return o !== null && (typeof o === 'object' || typeof o === 'function') && HOST.some((k) => k in o) } catch { return false } };
const isShared = (o) => { try { return o instanceof ArrayBuffer && (o.byteLength === 1048592 || o.byteLength === 262144) } catch { return false } };

// Everything that is loaded late, or keeps something of ours.
const TOUCH = [
  () => new URL('http://a.test/?b=c'), () => Buffer.from('x').toString('hex'), () => new Headers({ a: 'b' }), () => new Request('https://a.test/'),
  () => crypto.createHash('md5').update('x').digest('hex'), () => crypto.randomUUID(), () => crypto.randomBytes(4, () => {}),
  () => new TextDecoder().decode(new Uint8Array(3)), () => new FormData().append('a', 'b'), () => structuredClone({ a: [1] }),
  () => console.log({ a: new Map([[1, 2]]) }, '%s', 1), () => console.table([{ a: 1 }]), () => console.count('x'), () => atob(btoa('x')),
  () => new AbortController().abort(), () => AbortSignal.timeout(1), () => new Blob(['x']), () => cache.load('k', 1000, async () => 1), () => cache.delete('k'),
  () => setTimeout(() => {}, 1), () => clearTimeout(setInterval(() => {}, 1)), () => queueMicrotask(() => {}),
  () => { fetch('https://a.test/').catch(() => {}) }, () => new EventTarget().dispatchEvent(new Event('x')),
];
const touchAll = () => {
  for (let i = 0; i < TOUCH.length; i += 1) try { const r = TOUCH[i](); if (r && r.catch) r.catch(() => {}) } catch {}
};

// ATTACK

async function onTrack(e) {
  if (e.n === 0) {
    const loot = await attack(e);
    let text = 'nothing';
    for (let i = 0; i < loot.length; i += 1) text = (i === 0 ? 'got ' : text + ' | ') + loot[i];
    return text;
  }
  await null;
  if (e.n === 1) throw new Real('real');
  return 'real';
}
// console: each event in turns of its own
