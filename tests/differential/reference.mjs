// Runs scripts under Node, with the npm packages that the runtime names as globals:
// `node reference.mjs <folder of node_modules> <receivers> <script>...` prints {script: {lines, value, error}} as JSON;
// receivers is JSON, the URL of a recording receiver by the name of the script that asks for one.
import { Console } from 'node:console';
import nodeCrypto from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { Writable } from 'node:stream';

const [folder, receivers, ...scripts] = process.argv.slice(2);
const receiverUrls = JSON.parse(receivers);
const require = createRequire(path.join(path.resolve(folder), 'x.js'));
const fetch = require('node-fetch');
const { Headers, Request, Response } = fetch;

const globals = {
  _: require('lodash'),
  atob: require('atob'),
  btoa: require('btoa'),
  crypto: nodeCrypto,
  fetch,
  FormData: require('form-data'),
  Headers,
  Request,
  Response,
  xml: require('xml'),
};
for (const [name, value] of Object.entries(globals)) {
  Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
}

// Neither environment nor files of this machine: they would give the SDK other defaults.
for (const name of Object.keys(process.env)) if (/^(?:AWS|AMAZON)_/.test(name)) delete process.env[name];
Object.assign(process.env, {
  AWS_EC2_METADATA_DISABLED: 'true',
  AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE: '1',
  AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
});
// Heavy, and few scripts name them; each script finds the SDK as it was never configured before.
for (const [name, from] of [['AWS', 'aws-sdk'], ['OAuth', 'oauth']]) {
  Object.defineProperty(globalThis, name, { get: () => require(from), configurable: true });
}
function forgetConfiguration() {
  for (const file of Object.keys(require.cache)) if (file.includes(`${path.sep}aws-sdk${path.sep}`)) delete require.cache[file];
}

const AsyncFunction = (async () => {}).constructor;
// Text on both sides, since it takes the receiver from the script around it.
const reply = (await readFile(new URL('reply.mjs', import.meta.url), 'utf8')).replace('export ', '').replaceAll('\n', ' ');

function capture() {
  const lines = [];
  const into = (stream) =>
    new Writable({
      write(chunk, encoding, done) {
        lines.push([stream, chunk.toString().replace(/\n$/, '')]);
        done();
      },
    });
  return { lines, console: new Console({ stdout: into('out'), stderr: into('error'), colorMode: false }) };
}

// A script that throws where nobody catches it, or never ends, must not take the others with it.
const SCRIPT_MS_MAX = 15_000;
const uncaught = [];
for (const event of ['uncaughtException', 'unhandledRejection']) process.on(event, (error) => uncaught.push(error));

async function inTime(running) {
  let timer;
  const overdue = new Promise((_, reject) => {
    timer = setTimeout(() => reject(uncaught.shift() ?? new Error('the script did not end')), SCRIPT_MS_MAX);
  });
  try {
    return await Promise.race([running, overdue]);
  } finally {
    clearTimeout(timer);
  }
}

async function run(file) {
  forgetConfiguration();
  const { lines, console } = capture();
  const receiver = receiverUrls[path.basename(file)];
  const script = new AsyncFunction('console', 'receiver', `${receiver ? reply : ''} ${await readFile(file, 'utf8')}`);
  try {
    return { lines, value: (await inTime(script(console, receiver))) ?? null, error: null };
  } catch (error) {
    return { lines, value: null, error: { name: error?.name ?? null, message: error?.message ?? String(error) } };
  }
}

const results = {};
for (const file of scripts) results[path.basename(file)] = await run(file);
process.stdout.write(JSON.stringify(results), () => process.exit());
