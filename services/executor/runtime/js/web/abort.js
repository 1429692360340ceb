// EventTarget, Event and the abort classes of the DOM standard, as far as they have a meaning without a document.
import { invalidType, outOfRange, requireNumber } from './argument_errors.js';
import { DOMException } from './dom_exception.js';
import { named } from './named.js';

const UINT32_MAX = 2 ** 32 - 1;
const performanceNow = globalThis.performance.now;

const missing = (what) => Object.assign(new TypeError(`The ${what} must be specified`), { code: 'ERR_MISSING_ARGS' });
// Given to the events that we make ourselves.
const TRUSTED = Symbol();
const AT_TARGET = 2;

let dispatch;

export class Event {
  #type;
  #init;
  #trusted;
  #prevented = false;
  #stopped = false;
  #target = null;
  #phase = 0;
  #timeStamp = performanceNow();
  static {
    dispatch = {
      begin(event, target) {
        event.#target = target;
        event.#phase = AT_TARGET;
      },
      end(event) {
        event.#phase = 0;
      },
      stopped: (event) => event.#stopped,
      is: (event) => typeof event === 'object' && event !== null && #type in event,
    };
  }
  constructor(type, init = undefined, trusted = undefined) {
    if (arguments.length === 0) throw missing('"type" argument');
    if (init !== undefined && init !== null && typeof init !== 'object') throw invalidType('options', 'of type object', init);
    this.#type = `${type}`;
    this.#init = { bubbles: Boolean(init?.bubbles), cancelable: Boolean(init?.cancelable), composed: Boolean(init?.composed) };
    this.#trusted = trusted === TRUSTED;
  }
  get type() {
    return this.#type;
  }
  get target() {
    return this.#target;
  }
  get srcElement() {
    return this.#target;
  }
  get currentTarget() {
    return this.#phase === AT_TARGET ? this.#target : null;
  }
  get eventPhase() {
    return this.#phase;
  }
  get bubbles() {
    return this.#init.bubbles;
  }
  get cancelable() {
    return this.#init.cancelable;
  }
  get composed() {
    return this.#init.composed;
  }
  get defaultPrevented() {
    return this.#prevented;
  }
  get returnValue() {
    return !this.#prevented;
  }
  get isTrusted() {
    return this.#trusted;
  }
  get timeStamp() {
    return this.#timeStamp;
  }
  composedPath() {
    return this.#phase === AT_TARGET ? [this.#target] : [];
  }
  preventDefault() {
    if (this.#init.cancelable) this.#prevented = true;
  }
  stopPropagation() {}
  stopImmediatePropagation() {
    this.#stopped = true;
  }
  get [Symbol.toStringTag]() {
    return 'Event';
  }
}
for (const [place, name] of ['NONE', 'CAPTURING_PHASE', 'AT_TARGET', 'BUBBLING_PHASE'].entries()) {
  Object.defineProperty(Event, name, { value: place, enumerable: true });
}

const isListener = (listener) => typeof listener === 'function' || (typeof listener === 'object' && listener !== null);

export class EventTarget {
  #listeners = new Map();
  addEventListener(type, listener, options) {
    if (arguments.length < 2) throw missing('"type" and "listener" arguments');
    if (listener === null || listener === undefined) return;
    if (!isListener(listener)) throw invalidType('listener', 'an instance of EventListener', listener);
    const signal = typeof options === 'object' ? options?.signal : undefined;
    if (signal?.aborted) return;
    const listeners = this.#listeners.get(`${type}`) ?? [];
    if (listeners.some((known) => known.listener === listener)) return;
    const once = typeof options === 'object' && Boolean(options?.once);
    this.#listeners.set(`${type}`, [...listeners, { listener, once }]);
    signal?.addEventListener('abort', () => this.removeEventListener(type, listener));
  }
  removeEventListener(type, listener) {
    if (arguments.length < 2) throw missing('"type" and "listener" arguments');
    const listeners = this.#listeners.get(`${type}`);
    if (listeners) this.#listeners.set(`${type}`, listeners.filter((known) => known.listener !== listener));
  }
  dispatchEvent(event) {
    if (!dispatch.is(event)) throw invalidType('event', 'an instance of Event', event);
    dispatch.begin(event, this);
    try {
      for (const { listener, once } of this.#listeners.get(event.type) ?? []) {
        if (dispatch.stopped(event)) break;
        if (once) this.removeEventListener(event.type, listener);
        if (typeof listener === 'function') listener.call(this, event);
        else listener.handleEvent(event);
      }
    } finally {
      dispatch.end(event);
    }
    return !event.defaultPrevented;
  }
  get [Symbol.toStringTag]() {
    return 'EventTarget';
  }
}

const INTERNAL = Symbol();

export class AbortSignal extends EventTarget {
  #aborted = false;
  #reason;
  #handler = null;
  #listener = null;
  constructor(internal) {
    if (internal !== INTERNAL) throw Object.assign(new TypeError('Illegal constructor'), { code: 'ERR_ILLEGAL_CONSTRUCTOR' });
    super();
  }
  // An event handler takes its place among the listeners when it is first set.
  get onabort() {
    return this.#handler;
  }
  set onabort(handler) {
    this.#handler = typeof handler === 'function' ? handler : null;
    this.#listener ??= (event) => this.#handler?.call(this, event);
    this.addEventListener('abort', this.#listener);
  }
  get aborted() {
    return this.#aborted;
  }
  get reason() {
    return this.#reason;
  }
  throwIfAborted() {
    if (this.#aborted) throw this.#reason;
  }
  static abort(reason = new DOMException('This operation was aborted', 'AbortError')) {
    const signal = new AbortSignal(INTERNAL);
    signal.#abort(reason);
    return signal;
  }
  static timeout(delay) {
    requireNumber(delay, 'delay');
    if (!Number.isInteger(delay)) throw outOfRange('delay', 'an integer', delay);
    if (!(delay >= 0 && delay <= UINT32_MAX)) throw outOfRange('delay', `>= 0 && <= ${UINT32_MAX}`, delay);
    const signal = new AbortSignal(INTERNAL);
    globalThis.setTimeout(() => signal.#abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError')), delay);
    return signal;
  }
  static any(signals) {
    if (typeof signals?.[Symbol.iterator] !== 'function') throw invalidType('signals', 'an instance of Array', signals);
    const sources = [...signals];
    const wrong = sources.findIndex((source) => !(source instanceof AbortSignal));
    if (wrong >= 0) throw invalidType(`signals[${wrong}]`, 'an instance of AbortSignal', sources[wrong]);
    const signal = new AbortSignal(INTERNAL);
    for (const source of sources) {
      if (source.aborted) signal.#abort(source.reason);
      else source.addEventListener('abort', () => signal.#abort(source.reason));
    }
    return signal;
  }
  static signal(signal, reason) {
    signal.#abort(reason);
  }
  #abort(reason) {
    if (this.#aborted) return;
    this.#aborted = true;
    this.#reason = reason;
    this.dispatchEvent(new Event('abort', undefined, TRUSTED));
  }
  get [Symbol.toStringTag]() {
    return 'AbortSignal';
  }
  [Symbol.for('nodejs.util.inspect.custom')]() {
    return `AbortSignal { aborted: ${this.#aborted} }`;
  }
}
const abort = AbortSignal.signal;
delete AbortSignal.signal;

export class AbortController {
  #signal = new AbortSignal(INTERNAL);
  get signal() {
    return this.#signal;
  }
  abort(reason = new DOMException('This operation was aborted', 'AbortError')) {
    abort(this.#signal, reason);
  }
  get [Symbol.toStringTag]() {
    return 'AbortController';
  }
  [Symbol.for('nodejs.util.inspect.custom')]() {
    return `AbortController { signal: AbortSignal { aborted: ${this.#signal.aborted} } }`;
  }
}

named({ AbortController, AbortSignal, Event, EventTarget });
