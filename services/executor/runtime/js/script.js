// The user's script: a classic, sloppy script that may return at top level, evaluated once. It becomes the body of a
// function, as in a CommonJS module; nothing of ours stands on a line of its own, so lines keep their numbers.

import { detached, primordials, state } from './host.js';
import { describe } from './failure.js';
import { asBody } from './source.js';
import { SCRIPT, setColumnsBefore } from './stack.js';

const { apply, stringify } = primordials;
const MakeFunction = Function;

export const HANDLERS = ['onIdentify', 'onTrack', 'onPage', 'onScreen', 'onGroup', 'onAlias', 'onDelete', 'onBatch'];

// A closure that looks a handler up in the scope of the script, whichever way it was declared; asking happens after
// the script has run. `typeof` answers for a name that nobody declared, and throws for a `let` that was never reached.
const LOOK_UP = `(n)=>{switch(n){${HANDLERS.map((name) => `case'${name}':return typeof ${name}==='function'?${name}:void 0;`).join('')}}}`;

// A function's own `caller` throws in strict code: the parser itself tells whether 'use strict' stands at the top.
function isStrict(compiled) {
  try {
    void compiled.caller;
    return false;
  } catch {
    return true;
  }
}

// Answers {text, columns, error}: the text to compile, and how many columns it puts before the first line. The
// Function constructor refuses what only parses because of our brackets.
export function wrap(script) {
  const code = asBody(script);
  let strict = false;
  let error = null;
  try {
    strict = isStrict(new MakeFunction(code));
  } catch (thrown) {
    error = `${thrown.name}: ${thrown.message}`;
  }
  const before = `(function (exports, module) {${strict ? "'use strict';" : ''}arguments[2](${LOOK_UP});`;
  setColumnsBefore(before.length);
  return stringify({ text: `${before}${code}\n})\n//# sourceURL=${SCRIPT}`, columns: before.length, error });
}

class Handler {
  constructor(run, self) {
    this.run = run;
    this.self = self;
  }
}
detached(Handler);

export const handlers = { __proto__: null };

const attempted = (read) => {
  try {
    return read();
  } catch {
    return undefined;
  }
};

// Exported handlers first, then those in the script's scope or on the global object.
function find(name, exported, lookUp) {
  const member = attempted(() => exported[name]);
  if (typeof member === 'function') return new Handler(member, exported);
  const declared = attempted(() => lookUp(name));
  return declared === undefined ? undefined : new Handler(declared, undefined);
}

// Evaluates the compiled script and answers the handlers' names, or what it threw.
export function adopt(script) {
  const module = { exports: {} };
  let lookUp = () => undefined;
  state.loading = true;
  try {
    apply(script, module.exports, [
      module.exports,
      module,
      (found) => {
        lookUp = found;
      },
    ]);
  } catch (thrown) {
    return `{"error":${describe(thrown)}}`;
  } finally {
    state.loading = false;
  }
  let names = '';
  for (let i = 0; i < HANDLERS.length; i += 1) {
    const name = HANDLERS[i];
    const handler = find(name, module.exports, lookUp);
    if (handler === undefined) continue;
    handlers[name] = handler;
    names += `${names === '' ? '' : ','}"${name}"`;
  }
  return `{"handlers":[${names}]}`;
}
