// Tries: `cache.load` with `__proto__`, with keys that throw, and with flights that never land
// Meets: keys are strings in a map of ours; a flight ends with its attempt
async function attack() {
  const got = [];
  for (const key of ['__proto__', 'constructor', 'hasOwnProperty']) if (await cache.load(key, 1000, async () => 7) !== 7) got.push(key);
  try { cache.load({ toString() { throw 1 } }, 1, async () => 1) } catch {}
  cache.load('never', 1e9, () => new Promise(() => {}));
  if (Reflect.set(cache, 'load', 1)) got.push('replaced');
  return got;
}
