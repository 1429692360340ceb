// Tries: thenables that resolve twice, later, and after their attempt has ended
// Meets: an attempt ends once
let late;
async function attack() { await { then(done, fail) { late = done; done([]); done(['forged']); fail(new Error('forged')) } }; setTimeout(() => late(['forged']), 1); return [] }
