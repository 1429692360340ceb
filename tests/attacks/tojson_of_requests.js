// Tries: `Object.prototype.toJSON`, getters and methods of arrays that make a request a list of millions of lists for the executor
// Meets: requests are put together from texts, numbers and booleans of bounded size
const big = new Array(1e6).fill([]), loot = [];
const poison = function () { return { url: big, method: big, headers: big, x: big } };
for (const type of [Object, Array, String, Number, Boolean, Function]) Object.defineProperty(type.prototype, 'toJSON', { value: poison, configurable: true, writable: true });
for (const name of ['body', 'plain', 'size', 'follow', 'compress', 'id', 'seq']) Object.defineProperty(Object.prototype, name, { get: () => big, set() {}, configurable: true });
async function attack() {
  await Promise.race([fetch('https://a.test/', { headers: { a: 'b' } }), new Promise((done) => setTimeout(done, 20))]).catch(() => {});
  for (const name of ['push', 'map', 'flat']) Array.prototype[name] = () => big;
  fetch('https://a.test/').catch(() => {});
  return loot;
}
