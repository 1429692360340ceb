// Tries: `Date`, `performance`, `Temporal` and events for a clock finer than a millisecond
// Meets: all of them count whole milliseconds
function attack() {
  const got = [];
  for (let i = 0; i < 5000; i += 1) {
    if (performance.now() % 1) got.push('performance');
    if (Temporal.Now.instant().epochNanoseconds % 1000000n) got.push('Temporal');
    if (new Event('x').timeStamp % 1) got.push('Event');
    if (got.length) break;
  }
  return got;
}
