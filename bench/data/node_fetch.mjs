// The floor of bench/executor_fetch.py: the same handler under Node, with Node's own fetch.
// `node node_fetch.mjs <handler file> <url> <events> <at once>`; events come on stdin, one JSON a line.
import { readFile } from 'node:fs/promises';

const [file, url, count, atOnce] = process.argv.slice(2);
const handler = new Function(`${await readFile(file, 'utf8')}; return onTrack;`)();
let text = '';
for await (const chunk of process.stdin) text += chunk;
const lines = text.trim().split('\n');
let next = 0;

async function worker(last) {
  while (next < last) {
    const event = JSON.parse(lines[next++ % lines.length]);
    JSON.stringify(await handler(event, { url }));
  }
}

const run = async (last) => {
  next = 0;
  await Promise.all(Array.from({ length: Number(atOnce) }, () => worker(last)));
};

await run(Math.min(500, Number(count)));
const cpu = process.cpuUsage();
const started = performance.now();
await run(Number(count));
const seconds = (performance.now() - started) / 1000;
const { user, system } = process.cpuUsage(cpu);
process.stdout.write(JSON.stringify({ rate: Number(count) / seconds, cpu_us: (user + system) / Number(count) }));
