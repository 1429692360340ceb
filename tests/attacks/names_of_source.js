// Tries: `sourceURL` and `sourceMappingURL` with our names and paths of the machine
// Meets: V8 opens no files, and neither do we
function attack() {
  const got = [];
  for (const name of ['onward:prelude', 'function.js', '/etc/passwd', 'file:///proc/self/environ'])
    try { const s = eval(`(() => { throw new Error('x') })\n//# sourceURL=${name}\n//# sourceMappingURL=${name}`); try { s() } catch (e) { if (/root:|PATH=/.test(e.stack)) got.push(e.stack) } } catch {}
  return got;
}
