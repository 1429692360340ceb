// Loads the modules whose texts build.mjs has written, each when it is first needed: all of them would be ten times the
// prelude, and every worker would have them for itself.
import { capabilities } from './capabilities.js';
import { quietFinalization } from './finalization.js';
import { part } from './library_parts.js';
import * as networkFailures from './web/network_failures.js';

// Captured before user code can replace it; called under another name, eval runs in the global scope.
const evaluate = globalThis.eval;

// Shared memory and native code would only widen what a script can do to its process.
export const ABSENT = ['WebAssembly', 'SharedArrayBuffer', 'Atomics'];

// What V8 itself has put on the global object: Node's inspect tells classes of the language from all others by this.
// Like all that lazy modules are given, user code may get hold of it: it has replaced what they call.
export const builtins = Object.create(null, Object.getOwnPropertyDescriptors(globalThis));
for (const name of ABSENT) delete builtins[name];
builtins.FinalizationRegistry = quietFinalization();

const loaded = { __proto__: null };

// A module of the prelude itself, for lazy ones to import.
export function provide(name, exports) {
  loaded[name] = { exports };
}

export function load(name) {
  if (loaded[name]) return loaded[name].exports;
  // Registered before it runs: modules may import one another in a circle.
  const module = (loaded[name] = { exports: {} });
  try {
    evaluate(part(`modules/${name}`))(load, module, module.exports);
  } catch (error) {
    // Out of stack or memory: the next touch tries again.
    delete loaded[name];
    throw error;
  }
  return module.exports;
}

provide('host.js', capabilities);
provide('requests.js', capabilities);
provide('web/network_failures.js', networkFailures);
provide('library_parts.js', { part });
provide('modules.js', { builtins, load });

// A package whose file the worker has evaluated, because the script names its global.
export const addLibrary = (define) => void define(load);
