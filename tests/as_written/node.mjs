// Runs handlers under Node, with the npm packages that the runtime names as globals:
// `node node.mjs <folder of node_modules> <urls> <script>...` prints {script: [{lines, value, error}, ...]} as JSON, one
// entry an event; urls is JSON, the address of the partner's API by the name of the script.
import { Console } from 'node:console';
import nodeCrypto from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { Writable } from 'node:stream';
import { runInThisContext } from 'node:vm';

const [folder, urls, ...scripts] = process.argv.slice(2);
const apis = JSON.parse(urls);
const require = createRequire(path.join(path.resolve(folder), 'x.js'));
const fetch = require('node-fetch');
const { Headers, Request, Response } = fetch;

let lines = [];
const into = (stream) =>
  new Writable({
    write(chunk, encoding, done) {
      lines.push([stream, chunk.toString().replace(/\n$/, '')]);
      done();
    },
  });

const globals = {
  _: require('lodash'),
  atob: require('atob'),
  btoa: require('btoa'),
  console: new Console({ stdout: into('out'), stderr: into('error'), colorMode: false }),
  crypto: nodeCrypto,
  fetch,
  FormData: require('form-data'),
  Headers,
  OAuth: require('oauth'),
  Request,
  Response,
  xml: require('xml'),
};
for (const name of ['EventNotSupported', 'InvalidEventPayload', 'ValidationError', 'RetryError', 'DropEvent']) {
  globals[name] = { [name]: class extends Error { get name() { return name; } } }[name];
}
for (const [name, value] of Object.entries(globals)) {
  Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
}

function handlersOf(code) {
  const module = { exports: {} };
  const names = ['onIdentify', 'onTrack', 'onPage', 'onScreen', 'onGroup', 'onAlias', 'onDelete'];
  const declared = names.map((name) => `${name}: typeof ${name} === 'function' ? ${name} : undefined`).join(', ');
  const strict = code.startsWith("'use strict'") ? "'use strict';" : '';
  const script = runInThisContext(`(function (exports, module) {${strict} ${code}\n;return { ${declared} }; })`);
  const found = script.call(module.exports, module.exports, module);
  return (name) => (module.exports[name] ? module.exports[name].bind(module.exports) : found[name]);
}

async function handled(handler, name, event, settings) {
  try {
    if (!handler) throw new EventNotSupported(`${name} is not defined`);
    return { value: JSON.parse(JSON.stringify((await handler(event, settings)) ?? null)), error: null };
  } catch (error) {
    return { value: null, error: { name: error?.name ?? 'Error', message: error?.message ?? String(error) } };
  }
}

async function run(file) {
  const { settings, events } = JSON.parse((await readFile(file.replace(/\.js$/, '.json'), 'utf8')).replaceAll('{api}', apis[path.basename(file)]));
  const handlerOf = handlersOf(await readFile(file, 'utf8'));
  const results = [];
  for (const [type, event] of events) {
    const name = `on${type[0].toUpperCase()}${type.slice(1)}`;
    lines = [];
    const result = await handled(handlerOf(name), name, event, structuredClone(settings));
    results.push({ lines, ...result });
  }
  for (const name of ['onIdentify', 'onTrack']) delete globalThis[name];
  return results;
}

const results = {};
for (const file of scripts) results[path.basename(file)] = await run(file);
process.stdout.write(JSON.stringify(results));
process.exit();
