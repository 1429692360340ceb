// Tries: callbacks of `FinalizationRegistry`, which V8 runs when no attempt does
// Meets: they are never called
let called = 0; const registry = new FinalizationRegistry(() => { called += 1 });
class Mine extends FinalizationRegistry {} const mine = new Mine(() => { called += 1 });
async function attack() {
  for (let i = 0; i < 2e5; i += 1) { registry.register({ i }, i); if (i % 9 === 0) mine.register({ i }, i) }
  for (let i = 0; i < 2e6; i += 1) mark.n = [i, { i }];
  await new Promise((done) => setTimeout(done, 20));
  return called || registry.constructor !== FinalizationRegistry ? ['called'] : [];
}
