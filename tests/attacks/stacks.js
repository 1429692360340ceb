// Tries: `stack` of errors that are thrown in our code, with all frames, for names of ours and paths of the machine
// Meets: our frames are left out, the asynchronous ones too
async function attack() {
  Error.stackTraceLimit = Infinity;
  const got = [];
  const tries = [() => new URL('nonsense'), () => Buffer.from(5), () => setTimeout('x'), () => fetch('nonsense'), () => new Headers(5),
    () => crypto.createHash('nonsense'), () => structuredClone(() => {}), () => new AbortController().signal.throwIfAborted.call(5),
    () => atob('%'), () => cache.load('k', 1, 5), () => new Blob(5), () => JSON.parse('{'), () => queueMicrotask(5), () => eval('('), () => null.x];
  for (const f of tries) try { await f() } catch (e) { if (/onward:|prelude|\.py|\/(?!\/a\.test)[a-z]+\//.test(e.stack.replace(/https?:\S*/g, ''))) got.push(e.stack) }
  return got;
}
