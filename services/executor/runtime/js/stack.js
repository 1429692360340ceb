// Stack traces as the author of the script expects them: positions in `function.js` in their own numbering, and
// none of our frames. V8 asks Error.prepareStackTrace whenever a stack is first read, so a pair of accessors there
// serves both us and user code that sets a formatter of its own.

import { primordials } from './host.js';

export const SCRIPT = 'function.js';

const { apply, defineProperty, getPrototypeOf, slice, uncurry } = primordials;
const endsWith = uncurry(String.prototype.endsWith);
const includes = uncurry(String.prototype.includes);
const errorText = uncurry(Error.prototype.toString);

// CallSite has no global name: take one from a stack of our own, before user code can reach its prototype.
const prototype = (() => {
  let sites;
  Error.prepareStackTrace = (_, found) => {
    sites = found;
  };
  void new Error().stack;
  delete Error.prepareStackTrace;
  return getPrototypeOf(sites[0]);
})();
const scriptOf = uncurry(prototype.getScriptNameOrSourceURL);
const evalOrigin = uncurry(prototype.getEvalOrigin);
const lineOf = uncurry(prototype.getLineNumber);
const columnOf = uncurry(prototype.getColumnNumber);
const siteText = uncurry(prototype.toString);

// How many characters of ours stand before the user's on line 1.
let columnsBefore = 0;
export const setColumnsBefore = (columns) => {
  columnsBefore = columns;
};

const OURS = 0;
const BUILTIN = 1;
const USERS = 2;

function ownerOf(site) {
  const script = scriptOf(site);
  if (script === SCRIPT) return USERS;
  const origin = evalOrigin(site);
  if (typeof origin === 'string' && includes(origin, SCRIPT)) return USERS;
  return script === undefined || script === null ? BUILTIN : OURS;
}

// Ours go, and so do the builtins below the last frame of the user's, which we have called.
function usersOnly(sites) {
  const kept = [];
  let size = 0;
  let end = 0;
  for (let i = 0; i < sites.length; i += 1) {
    const owner = ownerOf(sites[i]);
    if (owner === OURS) continue;
    defineProperty(kept, size, { __proto__: null, value: sites[i], writable: true, enumerable: true, configurable: true });
    size += 1;
    if (owner === USERS) end = size;
  }
  kept.length = end;
  return kept;
}

function placed(site) {
  const text = siteText(site);
  if (scriptOf(site) !== SCRIPT || lineOf(site) !== 1) return text;
  const column = columnOf(site);
  const bracket = endsWith(text, ')') ? ')' : '';
  const tail = `:1:${column}${bracket}`;
  if (!endsWith(text, tail)) return text;
  return `${slice(text, 0, text.length - tail.length)}:1:${column - columnsBefore}${bracket}`;
}

function header(error) {
  try {
    return errorText(error);
  } catch {
    return '<error>';
  }
}

function format(error, sites) {
  let text = header(error);
  for (let i = 0; i < sites.length; i += 1) text += `\n    at ${placed(sites[i])}`;
  return text;
}

let formatter;

const prepare = (error, sites) => {
  const kept = usersOnly(sites);
  return typeof formatter === 'function' ? apply(formatter, Error, [error, kept]) : format(error, kept);
};

export function installStacks() {
  defineProperty(Error, 'prepareStackTrace', {
    __proto__: null,
    get: () => prepare,
    set: (value) => {
      formatter = value === prepare ? undefined : value;
    },
    enumerable: false,
    configurable: false,
  });
}
