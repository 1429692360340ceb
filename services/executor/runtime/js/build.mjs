// Bundles the prelude and the lazy libraries: `node build.mjs [output folder]`, by default build/runtime at the
// project's root. The same sources give the same bytes: no times, paths or source maps go in.
import { readFile, mkdir, writeFile, rm } from 'node:fs/promises';
import { STATUS_CODES } from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import * as esbuild from 'esbuild';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const OUTPUT = path.resolve(process.argv[2] ?? path.join(HERE, '../../../../build/runtime'));
const require = createRequire(import.meta.url);

// Node's modules, as far as the packages reach into them.
const NODE_MODULES = {
  stream: 'node/stream.js',
  url: 'node/url.js',
  util: 'node/util.js',
  path: 'node/path.js',
  crypto: 'node/crypto.js',
  'mime-types': 'node/mime_types.js',
  https: 'node/absent.js',
  zlib: 'node/absent.js',
  fs: 'node/absent.js',
  asynckit: 'node/absent.js',
  encoding: 'node/absent.js',
};

// Tables that are made here, in Node, instead of being shipped by a package.
const VIRTUAL = {
  http: () => `export const STATUS_CODES = ${JSON.stringify(STATUS_CODES)}; export default { STATUS_CODES };`,
  'virtual:mime-types': () => `module.exports = ${JSON.stringify(require('mime-types').types)};`,
  'safe-buffer': () => `export { Buffer } from 'buffer-of-prelude';`,
  'es-set-tostringtag': () =>
    `module.exports = (target, value) => Object.defineProperty(target.prototype ?? target, Symbol.toStringTag, { value, configurable: true });`,
  hasown: () => `module.exports = (object, key) => Object.hasOwn(object, key);`,
};

// Changes to packages, each an exact text that must still be there: an upgrade that moves it fails the build.
const PATCHES = [
  {
    // It looks for native coders; in the isolate these names are our own lazy globals, which rest on this very package.
    file: /@exodus\/bytes\/fallback\/platform\.native\.js$/,
    from: 'const { Buffer } = globalThis',
    to: 'const Buffer = undefined',
  },
  {
    file: /@exodus\/bytes\/fallback\/platform\.native\.js$/,
    from: 'let isNative = (x) => x && ',
    to: 'let isNative = (x) => false && ',
  },
  {
    file: /@exodus\/bytes\/fallback\/platform\.native\.js$/,
    from: 'isNative(globalThis.TextEncoder) ? new TextEncoder() : null',
    to: 'null',
  },
  {
    file: /@exodus\/bytes\/fallback\/platform\.native\.js$/,
    from: "isNative(globalThis.TextDecoder) ? new TextDecoder('utf-8', { ignoreBOM: true }) : null",
    to: 'null',
  },
  {
    // 240 KB of tables, needed only by hosts that are not plain ASCII.
    file: /whatwg-url\/lib\/url-miscellaneous\.js$/,
    from: 'const tr46 = require("tr46");',
    to: 'const tr46 = { toASCII: (domain, options) => require("idna").toASCII(domain, options) };',
  },
  {
    file: /whatwg-url\/lib\/URL-impl\.js$/,
    from: 'throw new TypeError(`Invalid base URL: ${base}`);',
    to: 'throw require("invalid-url").invalidUrl(url, base);',
  },
  {
    file: /whatwg-url\/lib\/URL-impl\.js$/,
    from: 'throw new TypeError(`Invalid URL: ${url}`);',
    to: 'throw require("invalid-url").invalidUrl(url, base);',
  },
];

const OURS = { 'buffer-of-prelude': 'web/buffer.js', 'invalid-url': 'web/invalid_url.js', idna: 'web/idna.js' };

// URL is always UTF-8 here: the legacy multi-byte encodings (150 KB of tables) are never asked for.
const ALIASES = { '@exodus/bytes/encoding.js': '@exodus/bytes/encoding-lite.js' };

const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');
const names = (table) => new RegExp(`^(?:${Object.keys(table).map(escaped).join('|')})$`);

const packages = {
  name: 'packages',
  setup(build) {
    for (const table of [NODE_MODULES, OURS]) {
      build.onResolve({ filter: names(table) }, ({ path: name }) => ({ path: path.join(HERE, table[name]) }));
    }
    // node-fetch has an old one, for Nodes without a URL of their own.
    build.onResolve({ filter: /^whatwg-url$/ }, ({ importer }) =>
      /node-fetch/.test(importer) ? { path: path.join(HERE, 'node/absent.js') } : undefined,
    );
    build.onResolve({ filter: names(VIRTUAL) }, ({ path: name }) => ({ path: name, namespace: 'virtual' }));
    build.onLoad({ filter: /.*/, namespace: 'virtual' }, ({ path: name }) => ({ contents: VIRTUAL[name](), resolveDir: HERE }));
    // Node's inspect, IDNA and the like are large and seldom needed: they stay text until their first use, since V8 scans
    // a string literal several times as fast as it parses the code in it.
    build.onResolve({ filter: /^text:/ }, ({ path: name }) => ({ path: name.slice('text:'.length), namespace: 'text' }));
    build.onLoad({ filter: /.*/, namespace: 'text' }, async ({ path: name }) => ({
      contents: `export const text = () => ${JSON.stringify(await bundledText(name))};`,
    }));
    build.onLoad({ filter: /node_modules\/(?:@exodus\/bytes|whatwg-url|tr46)\/.*\.js$/ }, async ({ path: file }) => {
      let contents = await readFile(file, 'utf8');
      for (const patch of PATCHES.filter((known) => known.file.test(file))) {
        if (!contents.includes(patch.from)) throw new Error(`build.mjs: ${file} no longer contains: ${patch.from}`);
        contents = contents.replace(patch.from, () => patch.to);
      }
      return { contents };
    });
  },
};

const OPTIONS = {
  absWorkingDir: HERE,
  alias: ALIASES,
  bundle: true,
  charset: 'ascii',
  conditions: ['module', 'default'],
  define: { global: 'globalThis' },
  legalComments: 'none',
  logLevel: 'warning',
  mainFields: ['module', 'main'],
  minifySyntax: true,
  minifyWhitespace: true,
  platform: 'neutral',
  plugins: [packages],
  target: 'es2022',
};

// A package as the text of an expression, whose value is its exports.
async function bundledText(name) {
  const { outputFiles } = await esbuild.build({
    ...OPTIONS,
    stdin: { contents: `module.exports = require(${JSON.stringify(name)});`, resolveDir: HERE },
    format: 'iife',
    globalName: 'exported',
    minifyIdentifiers: true,
    write: false,
  });
  const text = outputFiles[0].text.trim().replace(/^"use strict";/, '').replace(/^var exported=/, '').replace(/;$/, '');
  return `(${text})\n//# sourceURL=onward:${name}`;
}

async function bundle(entry, outfile, options) {
  await esbuild.build({ ...OPTIONS, ...options, entryPoints: [path.resolve(HERE, entry)], outfile: path.join(OUTPUT, outfile), format: 'iife' });
}

const manifest = JSON.parse(await readFile(path.join(HERE, 'packages.json'), 'utf8'));
const fileOf = (entry) => `lib-${entry.package}.js`;

await rm(OUTPUT, { recursive: true, force: true });
await mkdir(OUTPUT, { recursive: true });
// Identifiers of the prelude stay: V8 names classes and functions in what console prints, and node-fetch looks at the
// names of constructors.
await bundle(process.env.RUNTIME_ENTRY ?? 'main.js', 'prelude.js', { inject: [path.join(HERE, 'inject.js')] });
for (const entry of manifest.packages.filter((known) => known.lazy)) {
  await bundle(`lib/${entry.package}.js`, fileOf(entry), { inject: [path.join(HERE, 'node/process.js')], minifyIdentifiers: true });
}
// The worker reads this one: which file to evaluate when the code names which global.
const listed = manifest.packages.map((entry) => (entry.lazy ? { ...entry, file: fileOf(entry) } : entry));
await writeFile(path.join(OUTPUT, 'packages.json'), JSON.stringify({ packages: listed }, null, 2) + '\n');
