// setTimeout and its kin, with the objects that Node gives for them.
import { clearTimer, primordials, refreshTimer, setTimer } from './host.js';
import { load } from './modules.js';

function requireFunction(callback) {
  if (typeof callback !== 'function') load('web/argument_errors.js').requireFunction(callback, 'callback');
}

let idOf;

class Timeout {
  #id;
  #ref = true;
  static {
    idOf = (timer) => (#id in timer ? timer.#id : undefined);
  }
  constructor(id) {
    this.#id = id;
  }
  hasRef() {
    return this.#ref;
  }
  // Nothing outlives its attempt here, so these change what `hasRef` says alone.
  ref() {
    this.#ref = true;
    return this;
  }
  unref() {
    this.#ref = false;
    return this;
  }
  refresh() {
    refreshTimer(this.#id);
    return this;
  }
  close() {
    clearTimer(this.#id);
    return this;
  }
  [Symbol.toPrimitive]() {
    return this.#id;
  }
}

class Immediate extends Timeout {}

function clear(timer) {
  const kind = typeof timer;
  const id = kind === 'object' && timer !== null ? idOf(timer) : kind === 'number' || kind === 'string' ? timer : undefined;
  if (id !== undefined) clearTimer(id);
}

function start(callback, delay, repeats, args, Type) {
  requireFunction(callback);
  return new Type(setTimer(callback, delay, repeats, args));
}

export const timerFunctions = {
  setTimeout: (callback, delay, ...args) => start(callback, delay, false, args, Timeout),
  setInterval: (callback, delay, ...args) => start(callback, delay, true, args, Timeout),
  setImmediate: (callback, ...args) => start(callback, 0, false, args, Immediate),
  clearTimeout: (timer) => clear(timer),
  clearInterval: (timer) => clear(timer),
  clearImmediate: (timer) => clear(timer),
};

const settled = primordials.Promise.resolve();

export function queueMicrotask(callback) {
  requireFunction(callback);
  primordials.promiseThen(settled, () => callback());
}
