// Tries: `clearTimeout` of every number, and timers with objects as callback, delay and arguments
// Meets: numbers are all that comes of it; a callback must be a function
function attack() {
  for (let i = 0; i < 1e4; i += 1) clearTimeout(i);
  for (const callback of ['code', {}, null, { call() {} }]) try { setTimeout(callback, 1) } catch {}
  for (const delay of [-1, NaN, Infinity, 2 ** 40, {}, '7']) clearTimeout(setTimeout(() => {}, delay));
  return [];
}
