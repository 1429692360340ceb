// Tries: WebAssembly, SharedArrayBuffer and Atomics by name, by `Function`, by `structuredClone` and by `Intl`
// Meets: they are deleted, and nothing else gives them
function attack() {
  const got = [];
  for (const name of ['WebAssembly', 'SharedArrayBuffer', 'Atomics', 'Worker', 'ShadowRealm', 'd8', 'load', 'print', 'read', 'quit'])
    if (name in globalThis || Function('return typeof ' + name)() !== 'undefined') got.push(name);
  return got;
}
