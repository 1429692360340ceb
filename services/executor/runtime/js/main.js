'use strict';
// The prelude: evaluated once in every new isolate, before the user's script.
// host.js comes first, since it captures V8's own functions before anybody can replace them.
import { primordials } from './host.js';
import { errorClasses } from './failure.js';
import { installStacks } from './stack.js';
import { entries } from './pump.js';
import { install } from './globals.js';
import { ABSENT, builtins } from './modules.js';
import { forbidCodeOfStrings } from './code_of_strings.js';
import { timerFunctions } from './timers.js';

const define = (name, value) =>
  primordials.defineProperty(globalThis, name, { __proto__: null, value, writable: true, enumerable: false, configurable: true });

define('FinalizationRegistry', builtins.FinalizationRegistry);
for (const name of ABSENT) primordials.deleteProperty(globalThis, name);
for (const name of Object.keys(timerFunctions)) define(name, timerFunctions[name]);
for (const name of Object.keys(errorClasses)) define(name, errorClasses[name]);
install(globalThis);
installStacks();
// prelude.py writes this in front.
if (globalThis.__forbidCodeOfStrings) forbidCodeOfStrings();
primordials.deleteProperty(globalThis, '__forbidCodeOfStrings');
// The worker takes the entries from here and deletes the name.
globalThis.__onward = entries;
