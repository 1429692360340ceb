// Tries: going on in the turn of another event, which it makes settle what it waits for, to write lines and requests as that one
// Meets: V8 keeps the attempt of each continuation
const parent = Object.getPrototypeOf(Real); let hook = () => {};
Object.setPrototypeOf(Real, function (...all) { const run = hook; hook = () => {}; run(); return Reflect.construct(parent, all, new.target) });
async function attack() {
  const waiting = new Promise((done) => { hook = done });
  const on = (what) => { console.log(what); fetch('https://a.test/' + what).catch(() => {}); setTimeout(() => console.log(what), 1) };
  waiting.then(() => on('then'));
  await { then(done) { waiting.then(() => { on('thenable'); done() }) } };
  on('await'); await null; on('later');
  return [];
}
