// Tries: `Object.create` and its kin replaced, for the table of V8's own globals that `inspect` uses
// Meets: WebAssembly, SharedArrayBuffer and Atomics are in no table
const seen = [];
for (const name of ['create', 'assign', 'getOwnPropertyDescriptors', 'getOwnPropertyNames', 'keys', 'getPrototypeOf', 'freeze', 'entries', 'fromEntries']) {
  const real = Object[name];
  Object[name] = function (...all) { seen.push(...all); const made = real(...all); seen.push(made); return made };
}
async function attack() {
  touchAll();
  const got = [];
  for (const o of seen) for (const name of ['WebAssembly', 'SharedArrayBuffer', 'Atomics'])
    try { const d = o && (typeof o === 'object' || typeof o === 'function') ? o[name] : undefined; const v = d && typeof d === 'object' && 'value' in d ? d.value : d; if (v && own(v).length) got.push(name) } catch {}
  return got.concat(seen.filter((o) => isHosts(o) || isShared(o)).map(String));
}
