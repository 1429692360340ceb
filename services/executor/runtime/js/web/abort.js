// EventTarget, Event and the abort classes of the DOM standard, as far as they have a meaning without a document.
import { DOMException } from './dom_exception.js';
import { named } from './named.js';

export class Event {
  #type;
  #cancelable;
  #prevented = false;
  target = null;
  currentTarget = null;
  timeStamp = Date.now();
  constructor(type, init = {}) {
    this.#type = `${type}`;
    this.#cancelable = Boolean(init?.cancelable);
  }
  get type() {
    return this.#type;
  }
  get cancelable() {
    return this.#cancelable;
  }
  get defaultPrevented() {
    return this.#prevented;
  }
  preventDefault() {
    if (this.#cancelable) this.#prevented = true;
  }
  stopImmediatePropagation() {
    this.stopped = true;
  }
  get [Symbol.toStringTag]() {
    return 'Event';
  }
}

export class EventTarget {
  #listeners = new Map();
  addEventListener(type, listener, options) {
    if (listener == null) return;
    const listeners = this.#listeners.get(`${type}`) ?? [];
    if (listeners.some((known) => known.listener === listener)) return;
    const once = typeof options === 'object' && Boolean(options?.once);
    this.#listeners.set(`${type}`, [...listeners, { listener, once }]);
    options?.signal?.addEventListener('abort', () => this.removeEventListener(type, listener));
  }
  removeEventListener(type, listener) {
    const listeners = this.#listeners.get(`${type}`);
    if (listeners) this.#listeners.set(`${type}`, listeners.filter((known) => known.listener !== listener));
  }
  dispatchEvent(event) {
    event.target = event.currentTarget = this;
    for (const { listener, once } of this.#listeners.get(event.type) ?? []) {
      if (event.stopped) break;
      if (once) this.removeEventListener(event.type, listener);
      if (typeof listener === 'function') listener.call(this, event);
      else listener.handleEvent(event);
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
    const signal = new AbortSignal(INTERNAL);
    globalThis.setTimeout(() => signal.#abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError')), delay);
    return signal;
  }
  static any(signals) {
    const signal = new AbortSignal(INTERNAL);
    for (const source of signals) {
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
    this.dispatchEvent(new Event('abort'));
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
