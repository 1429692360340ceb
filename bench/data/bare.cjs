// The floor: the same handler and events in Node itself, without any isolation. JSON in, JSON out.
// node bare.cjs HANDLER EVENTS BATCH SECONDS RUNS: prints events a second of each run as a JSON array.
const { readFileSync } = require('node:fs');
const { gunzipSync } = require('node:zlib');

const [handler, events, batch, seconds, runs] = process.argv.slice(2);
// As in a worker, it may be exported or only declared.
const { onTrack } = new Function('module', 'exports', `${readFileSync(handler, 'utf8')}\n;return { onTrack }`)({ exports: {} }, {});
const lines = gunzipSync(readFileSync(events)).toString().trim().split('\n');
const texts = [];
for (let at = 0; at + +batch <= lines.length; at += +batch) texts.push(`[${lines.slice(at, at + +batch).join(',')}]`);

// What a handler writes is kept, as it is in a worker: a terminal would be slower than any handler.
const written = [];
console.log = (line) => void written.push(line);

const settled = (promise, id) => promise.then(() => ({ id, ok: true }), (error) => ({ id, ok: false, error: `${error}` }));

async function run(forMs) {
  let ended = 0;
  let bytes = 0;
  const began = performance.now();
  for (let turn = 0; performance.now() - began < forMs; turn += 1) {
    const list = JSON.parse(texts[turn % texts.length]);
    const outcomes = await Promise.all(list.map((event, id) => settled(onTrack(event, { apiKey: 'k' }), id)));
    bytes += JSON.stringify(outcomes).length;
    ended += list.length;
    written.length = 0;
  }
  if (bytes === 0) throw new Error('nothing came out');
  return ended / ((performance.now() - began) / 1000);
}

(async () => {
  await run(+seconds * 1000);
  const rates = [];
  for (let n = 0; n < +runs; n += 1) rates.push(await run(+seconds * 1000));
  process.stdout.write(JSON.stringify(rates));
})();
