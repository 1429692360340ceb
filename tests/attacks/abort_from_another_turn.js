// Tries: aborting its requests in the turn of another event, so that the executor ends that one's, or counts them as its
// Meets: an abort goes out in the name of the attempt whose request it is
const parent = Object.getPrototypeOf(Real); let hook = () => {};
Object.setPrototypeOf(Real, function (...all) { const run = hook; hook = () => {}; run(); return Reflect.construct(parent, all, new.target) });
async function attack() {
  const all = new AbortController(), asked = [];
  for (let i = 0; i < 20; i += 1) asked.push(fetch('https://a.test/' + i, { signal: all.signal }));
  hook = () => { for (let i = 0; i < 100; i += 1) all.abort() };
  const ended = await Promise.allSettled(asked);
  return ended.filter((one) => one.reason?.name !== 'AbortError').map(() => 'not aborted');
}
