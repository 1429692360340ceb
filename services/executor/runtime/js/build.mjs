// Bundles the prelude and the lazy libraries: `node build.mjs [output folder [packages file, folder that holds their
// node_modules]]`, by default into build/runtime at the project's root, without an operator's packages. The same sources
// give the same bytes: no times, paths or source maps go in.
import { existsSync } from 'node:fs';
import { readFile, mkdir, writeFile, rm } from 'node:fs/promises';
import { STATUS_CODES } from 'node:http';
import { builtinModules, createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import * as esbuild from 'esbuild';
import { declarations } from './declarations.mjs';
import { awsServices, serviceMetadata, serviceModels, servicesModule } from './aws_services.mjs';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const OUTPUT = path.resolve(process.argv[2] ?? path.join(HERE, '../../../../build/runtime'));
const [, , , EXTRA_FILE, EXTRA_FOLDER] = process.argv;
const require = createRequire(import.meta.url);
const AWS_FOLDER = path.join(HERE, 'node_modules/aws-sdk');

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

// The same for lazy packages, which share the prelude's modules instead of bringing their own.
const MODULES_OF_LIBRARIES = {
  ...Object.fromEntries(builtinModules.map((name) => [name, 'node/absent.js'])),
  ...NODE_MODULES,
  buffer: 'web/buffer.js',
  crypto: 'crypto.js',
  events: 'node/events.cjs',
  http: 'node/http.cjs',
  https: 'node/https.cjs',
  timers: 'node/timers.js',
  uuid: 'node/uuid.js',
};
// Modules of Node that are packages of the same name here.
const PACKAGES_OF_LIBRARIES = /^(?:node:)?(punycode|querystring|url)$/;

// Tables that are made here, in Node, instead of being shipped by a package.
const VIRTUAL = {
  http: () => `export const STATUS_CODES = ${JSON.stringify(STATUS_CODES)}; export default { STATUS_CODES };`,
  'http-status-codes': () => `export const STATUS_CODES = ${JSON.stringify(STATUS_CODES)};`,
  'node-version': () => `export const VERSION = ${JSON.stringify(process.version)};`,
  'virtual:aws-services': async () => servicesModule(await awsServices(AWS_FOLDER)),
  'virtual:mime-types': () => `module.exports = ${JSON.stringify(require('mime-types').types)};`,
  'safe-buffer': () => `export { Buffer } from 'buffer-of-runtime';`,
  'es-set-tostringtag': () =>
    `module.exports = (target, value) => Object.defineProperty(target.prototype ?? target, Symbol.toStringTag, { value, configurable: true });`,
  hasown: () => `module.exports = (object, key) => Object.hasOwn(object, key);`,
};

// Changes to packages, each an exact text that must still be there: an upgrade that moves it fails the build.
const PATCHES = [
  {
    // Methods are generators too.
    file: /node-inspect-extracted\/dist\/inspect\.js$/,
    from: 'a.toString.call(t).match(/^(async\\s+)?function *\\*/)',
    to: '/^\\[object (?:Async)?GeneratorFunction\\]$/.test(Object.prototype.toString.call(t))',
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

const OURS = {
  'buffer-of-runtime': 'web/buffer.js',
  'invalid-url': 'web/invalid_url.js',
  idna: 'web/idna.js',
};

// What whatwg-url takes from @exodus/bytes stands in our encoding module already. Its legacy multi-byte encodings
// (150 KB of tables) are never asked for: URL is UTF-8 here.
const OURS_IN_WHATWG_URL = { '@exodus/bytes/whatwg.js': 'web/encoding.js', '@exodus/bytes/encoding.js': 'node/absent.js' };

// Modules whose text the prelude holds, each evaluated when something first asks `load` for it: V8 scans a string
// literal eight times as fast as it parses the code in it, and an isolate needs few of them.
const LAZY_MODULES = [
  'crypto.js',
  'crypto/agreement.js',
  'crypto/arguments.js',
  'crypto/calls.js',
  'crypto/ciphers.js',
  'crypto/derivation.js',
  'crypto/digests.js',
  'crypto/encryption.js',
  'crypto/key_pairs.js',
  'crypto/keys.js',
  'crypto/random.js',
  'crypto/signatures.js',
  'crypto/streams.js',
  'crypto/subtle.js',
  'crypto/tables.js',
  'node/stream.js',
  'web/abort.js',
  'web/argument_errors.js',
  'web/base64.js',
  'web/blob.js',
  'web/buffer.js',
  'web/dom_exception.js',
  'web/encoding.js',
  'web/fetch.js',
  'web/form_data.js',
  'web/structured_clone.js',
  'web/url.js',
];
const LAZY_PACKAGES = ['node-inspect-extracted', 'tr46', 'virtual:mime-types'];
// Modules of the prelude that lazy ones import: one instance for all.
const SHARED_MODULES = ['host.js', 'inspect.js', 'library_parts.js', 'modules.js', 'requests.js', 'web/network_failures.js'];

const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');
const names = (table) => new RegExp(`^(?:${Object.keys(table).map(escaped).join('|')})$`);

async function patched(file) {
  let contents = await readFile(file, 'utf8');
  for (const patch of PATCHES.filter((known) => known.file.test(file))) {
    if (!contents.includes(patch.from)) throw new Error(`build.mjs: ${file} no longer contains: ${patch.from}`);
    contents = contents.replace(patch.from, () => patch.to);
  }
  return contents;
}

// `externals` are files of ours that the bundle leaves to `require`, under their name below this folder.
const resolver = (externals) => ({
  name: 'resolver',
  setup(build) {
    const ours = (file) => (externals.includes(file) ? { path: file, external: true, sideEffects: false } : { path: path.join(HERE, file) });
    build.onResolve({ filter: /^url$/ }, ({ importer }) => (/node-fetch/.test(importer) ? ours('node/fetch_url.js') : undefined));
    for (const table of [NODE_MODULES, OURS]) build.onResolve({ filter: names(table) }, ({ path: name }) => ours(table[name]));
    build.onResolve({ filter: names(OURS_IN_WHATWG_URL) }, ({ path: name, importer }) =>
      /whatwg-url/.test(importer) ? ours(OURS_IN_WHATWG_URL[name]) : undefined,
    );
    // node-fetch brings an old one, for Nodes without a URL of their own.
    build.onResolve({ filter: /^whatwg-url$/ }, ({ importer }) => (/node-fetch/.test(importer) ? ours('node/absent.js') : undefined));
    // Its ESM build takes a module's whole exports for the default one.
    build.onResolve({ filter: /^node-fetch$/ }, () => ({ path: path.join(HERE, 'node_modules/node-fetch/lib/index.js') }));
    build.onResolve({ filter: /^\.\.?\// }, ({ path: name, resolveDir }) => {
      const file = path.relative(HERE, path.join(resolveDir, name));
      return externals.includes(file) ? ours(file) : undefined;
    });
    build.onResolve({ filter: names(VIRTUAL) }, ({ path: name }) => ({ path: name, namespace: 'virtual' }));
    build.onLoad({ filter: /.*/, namespace: 'virtual' }, async ({ path: name }) => ({ contents: await VIRTUAL[name](), resolveDir: HERE }));
    build.onLoad({ filter: /node_modules\/(?:whatwg-url|node-inspect-extracted)\/.*\.js$/ }, async ({ path: file }) => ({
      contents: await patched(file),
    }));
  },
});

// What lazy packages need of Node comes from here; the rest is as for the prelude.
const libraryResolver = {
  name: 'library resolver',
  setup(build) {
    const externals = [...SHARED_MODULES, ...LAZY_MODULES];
    const ours = (file) => (externals.includes(file) ? { path: file, external: true, sideEffects: false } : { path: path.join(HERE, file) });
    const inNode = ({ path: name }) => ours(MODULES_OF_LIBRARIES[name.replace(/^node:/, '')] ?? 'node/absent.js');
    build.onResolve({ filter: PACKAGES_OF_LIBRARIES }, ({ path: name }) => ({ path: require.resolve(`${name.replace(/^node:/, '')}/`) }));
    build.onResolve({ filter: names(MODULES_OF_LIBRARIES) }, inNode);
    build.onResolve({ filter: /^node:/ }, inNode);
    build.onResolve({ filter: /^xml2js$/ }, () => ({ path: path.join(HERE, 'node_modules/xml2js/lib/parser.js') }));
    // The SDK's credentials ask for generated clients, which would bring everything.
    build.onResolve({ filter: /clients\/\w+$/ }, ({ path: name, importer }) =>
      /aws-sdk/.test(importer) ? { path: path.basename(name), namespace: 'aws-client' } : undefined,
    );
    build.onLoad({ filter: /.*/, namespace: 'aws-client' }, async ({ path: id }) => {
      const { name } = (await awsServices(AWS_FOLDER)).find((service) => service.id === id);
      return { contents: `module.exports=function(options){return new(require("aws-sdk/lib/core").${name})(options)}`, resolveDir: HERE };
    });
    build.onLoad({ filter: /aws-sdk\/apis\/metadata\.json$/ }, async ({ path: file }) => ({
      contents: `module.exports=JSON.parse(${JSON.stringify(JSON.stringify(await serviceMetadata(file)))})`,
    }));
  },
};

// Identifiers stay as they are: V8 names classes and functions in what console prints, and node-fetch looks at the names
// of constructors.
const OPTIONS = {
  absWorkingDir: HERE,
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
  target: 'es2022',
};

// Modules that must find something else on the global object than what is there.
const ENGINES = {
  // It looks for native coders, where it would find our lazy ones, which rest on it.
  'web/encoding.js': '{decodeURIComponent,escape}',
  // It copies all of V8's globals, but the isolates have no Atomics; and it takes every class there for one of V8's.
  'node-inspect-extracted': 'Object.create(globalThis,{Atomics:{value:{}},globalThis:{value:require("modules.js").builtins}})',
};
// webidl-conversions takes the getters of SharedArrayBuffer, which isolates do not have either: nothing has the brand.
const NO_SHARED_MEMORY = 'var SharedArrayBuffer=class{get byteLength(){throw new TypeError}get growable(){throw new TypeError}};';

// A lazy module as the text of a function (require, module, exports).
async function moduleText(name) {
  const isPackage = LAZY_PACKAGES.includes(name);
  const source = isPackage ? { contents: `module.exports = require(${JSON.stringify(name)});`, resolveDir: HERE } : undefined;
  const { outputFiles } = await esbuild.build({
    ...OPTIONS,
    banner: { js: (name in ENGINES ? `var engine=${ENGINES[name]};` : '') + (name === 'web/url.js' ? NO_SHARED_MEMORY : '') },
    define: name in ENGINES ? { globalThis: 'engine' } : OPTIONS.define,
    ...(source ? { stdin: source } : { entryPoints: [path.join(HERE, name)] }),
    format: 'cjs',
    inject: isPackage || name === 'web/encoding.js' ? [] : [path.join(HERE, 'inject.js')],
    minifyIdentifiers: isPackage,
    plugins: [resolver([...SHARED_MODULES, ...LAZY_MODULES.filter((other) => other !== name)])],
    write: false,
  });
  // A banner would keep a directive from being one, and functions in sloppy code show themselves to those that they call.
  const strict = isPackage ? '' : '"use strict";';
  return `(function(require,module,exports){${strict}${outputFiles[0].text.trim()}})\n//# sourceURL=onward:${name}`;
}

// Writes the texts that modules.js fetches; answers their names.
async function modules() {
  const names = [...LAZY_MODULES, ...LAZY_PACKAGES];
  await Promise.all(names.map(async (name) => {
    const file = path.join(OUTPUT, 'parts/modules', name);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, await moduleText(name));
  }));
  return names;
}

async function bundle(entry, outfile, options) {
  await esbuild.build({
    ...OPTIONS,
    plugins: [resolver([])],
    ...options,
    entryPoints: [path.resolve(HERE, entry)],
    outfile: path.join(OUTPUT, outfile),
    format: 'iife',
  });
}

// What checks code when it is saved: a script whose value is the function, so that it leaves no name behind.
async function checker() {
  const { outputFiles } = await esbuild.build({ ...OPTIONS, entryPoints: [path.join(HERE, 'check/main.js')], format: 'cjs', minifyIdentifiers: true, write: false });
  await writeFile(path.join(OUTPUT, 'check.js'), `(()=>{const module={exports:{}};${outputFiles[0].text.trim()};return module.exports.check})()\n`);
}

const manifest = JSON.parse(await readFile(path.join(HERE, 'packages.json'), 'utf8'));
const { devDependencies } = JSON.parse(await readFile(path.join(HERE, 'package.json'), 'utf8'));
for (const { global, package: name, version } of manifest.packages) {
  if (devDependencies[name] !== version) throw new Error(`packages.json: ${global} is ${name} ${version}, but package.json has ${devDependencies[name]}`);
}
const extra = EXTRA_FILE ? JSON.parse(await readFile(EXTRA_FILE, 'utf8')).packages : [];
for (const { global } of extra) {
  if (global in globalThis || manifest.packages.some((known) => known.global === global)) throw new Error(`${EXTRA_FILE}: the global ${global} exists already`);
}
const fileOf = (entry) => `lib-${entry.package}.js`;

// A lazy package as the text of a function (require) that puts its global in place. Ours stand in lib, where a package
// needs more than its own files.
async function libraryText({ global, package: name }, resolveDir) {
  const ours = path.join(HERE, 'lib', `${name}.cjs`);
  const source = JSON.stringify(existsSync(ours) ? ours : name);
  const contents =
    `const found=require(${source});` +
    `Object.defineProperty(globalThis,${JSON.stringify(global)},{value:found.__esModule&&"default"in found?found.default:found,writable:true,configurable:true});`;
  const { outputFiles } = await esbuild.build({
    ...OPTIONS,
    stdin: { contents, resolveDir },
    format: 'cjs',
    inject: [path.join(HERE, 'inject.js')],
    // It would take the names from function expressions, which the SDK puts into its messages.
    minifySyntax: false,
    plugins: [libraryResolver, resolver([...SHARED_MODULES, ...LAZY_MODULES])],
    write: false,
  });
  return `(function(require){var module={exports:{}},exports=module.exports;${outputFiles[0].text.trim()}})\n`;
}

// Texts that a lazy package fetches by their names: <package>/<name>.
const PARTS = { 'aws-sdk': async () => serviceModels(AWS_FOLDER, await awsServices(AWS_FOLDER)) };

async function library(entry, resolveDir) {
  await mkdir(path.join(OUTPUT, path.dirname(fileOf(entry))), { recursive: true });
  await writeFile(path.join(OUTPUT, fileOf(entry)), await libraryText(entry, resolveDir));
  const parts = (await PARTS[entry.package]?.()) ?? [];
  for (const [name, text] of parts) {
    await mkdir(path.join(OUTPUT, 'parts', entry.package), { recursive: true });
    await writeFile(path.join(OUTPUT, 'parts', entry.package, name), text);
  }
  return { ...entry, file: fileOf(entry), ...(parts.length ? { parts: parts.map(([name]) => name) } : {}) };
}

await rm(OUTPUT, { recursive: true, force: true });
await mkdir(OUTPUT, { recursive: true });
await bundle(process.env.RUNTIME_ENTRY ?? 'main.js', 'prelude.js');
const listed = await Promise.all([
  ...manifest.packages.map((entry) => (entry.lazy ? library(entry, HERE) : entry)),
  ...extra.map((entry) => library({ ...entry, lazy: true }, EXTRA_FOLDER)),
]);
await writeFile(path.join(OUTPUT, 'onward.d.ts'), await declarations(path.join(HERE, 'onward.d.ts'), listed));
await checker();
// The worker reads this one: which file to evaluate when the code names which global.
await writeFile(path.join(OUTPUT, 'packages.json'), JSON.stringify({ packages: listed, modules: await modules() }, null, 2) + '\n');
