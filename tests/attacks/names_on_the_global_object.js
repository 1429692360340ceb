// Tries: everything that can be listed there, prototypes and symbols included
// Meets: our own names are deleted before the script is evaluated
function attack() {
  const got = [];
  for (let o = globalThis; o; o = Object.getPrototypeOf(o)) for (const key of own(o)) {
    if (/^__(?!proto__|defineGetter__|defineSetter__|lookupGetter__|lookupSetter__)/.test(String(key))) got.push(String(key));
    try { if (isHosts(o[key]) || isShared(o[key])) got.push(String(key)) } catch {}
  }
  return got;
}
