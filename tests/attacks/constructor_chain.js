// Tries: `this.constructor.constructor('return process')()`, and the same of every kind of function
// Meets: there is no `process`, `require` or `global` in the isolate
function attack() {
  const got = [];
  for (const f of [function () {}, async () => {}, function* () {}, async function* () {}, Math.max, class {}, setTimeout])
    for (const name of ['process', 'require', 'global', 'module.require', 'Deno', 'onward'])
      try { const r = f.constructor('return typeof ' + name)(); const v = r.next ? null : r; if (v !== null && v !== 'undefined' && !v.then) got.push(name) } catch {}
  try { got.push(this.constructor.constructor('return process')()) } catch {}
  return got;
}
