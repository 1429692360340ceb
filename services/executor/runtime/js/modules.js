// Loads the modules that build.mjs has put into the prelude as text.
import { texts } from 'virtual:modules';
import * as host from './host.js';
import { part } from './library_parts.js';
import * as networkFailures from './web/network_failures.js';

// Captured before user code can replace it; called under another name, eval runs in the global scope.
const evaluate = globalThis.eval;

// What V8 itself has put on the global object: Node's inspect tells classes of the language from all others by this.
const builtins = Object.create(null, Object.getOwnPropertyDescriptors(globalThis));

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
    evaluate(texts[name]())(load, module, module.exports);
  } catch (error) {
    // Out of stack or memory: the next touch tries again.
    delete loaded[name];
    throw error;
  }
  return module.exports;
}

provide('host.js', host);
provide('web/network_failures.js', networkFailures);
provide('library_parts.js', { part });
provide('modules.js', { builtins, load });

// A package whose file the worker has evaluated, because the script names its global.
export const addLibrary = (define) => void define(load);
