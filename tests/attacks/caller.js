// Tries: `arguments.callee.caller` and `Function.prototype.caller` in everything that we call back
// Meets: our code is strict, so `caller` is null
const got = [];
function look() { let f = look.caller; for (let i = 0; f && i < 9; i += 1) { if (isOurs(f)) got.push(source(f).slice(0, 60)); try { f = f.caller } catch { break } } }
function outer() { const f = arguments.callee.caller; if (isOurs(f)) got.push(source(f).slice(0, 60)); look(); return 'x' }
async function attack() {
  outer();
  try { JSON.stringify({ toJSON: outer }) } catch {}
  for (const f of [() => new URL({ toString: outer }), () => Buffer.from({ valueOf: outer, [Symbol.toPrimitive]: outer }),
    () => console.log({ [Symbol.for('nodejs.util.inspect.custom')]: outer }), () => new Headers({ [Symbol.iterator]: outer }),
    () => fetch({ toString: outer, get url() { return outer() } }), () => fetch('https://a.test/', { get method() { return outer() }, get headers() { outer() } }),
    () => crypto.createHash({ toString: outer }), () => setTimeout({ [Symbol.toPrimitive]: outer }, 1), () => setTimeout(() => {}, { valueOf: outer }),
    () => structuredClone({ get x() { return outer() } }), () => new TextDecoder({ toString: outer }), () => new Blob({ [Symbol.iterator]: outer }),
    () => cache.load({ toString: outer }, { valueOf: outer }, outer), () => console.table([{ get a() { return outer() } }]),
    () => new URLSearchParams({ get a() { return outer() } }), () => btoa({ toString: outer })])
    try { const r = f(); if (r && r.then) r.then(outer, outer) } catch {}
  await { then(done) { outer(); done() } };
  await new Promise((done) => setTimeout(function () { outer(); done() }, 1));
  return got;
}
