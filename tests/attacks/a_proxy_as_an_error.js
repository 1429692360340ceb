// Tries: throwing proxies and getters that run code while the error is described
// Meets: each property is read once, under guard
let reads = 0;
async function attack() {
  const evil = new Proxy(new Error('x'), { get(t, k) { reads += 1; if (k === 'message') throw evil; if (k === 'stack') return { toString() { throw 1 } }; return at(t, k) } });
  try { console.log(evil) } catch {}
  try { await Promise.reject(evil) } catch {}
  return [];
}
