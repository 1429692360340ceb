import { named } from './named.js';

// The names that carry a legacy code: https://webidl.spec.whatwg.org/#dfn-error-names-table
const CODES = {
  IndexSizeError: 1, NotFoundError: 8, NotSupportedError: 9, InvalidStateError: 11, SyntaxError: 12, InvalidAccessError: 15,
  NetworkError: 19, AbortError: 20, QuotaExceededError: 22, TimeoutError: 23, DataCloneError: 25,
};

export class DOMException extends Error {
  #name;
  constructor(message = '', options = 'Error') {
    super(`${message}`, typeof options === 'object' && options !== null && 'cause' in options ? { cause: options.cause } : undefined);
    this.#name = `${typeof options === 'object' && options !== null ? (options.name ?? 'Error') : options}`;
    // The stack was written with the class's default name.
    const stack = this.stack;
    if (typeof stack === 'string' && stack.startsWith('Error')) {
      const value = `${this.#name}${stack.slice('Error'.length)}`;
      Object.defineProperty(this, 'stack', { value, writable: true, configurable: true });
    }
  }
  get name() {
    return this.#name;
  }
  get code() {
    return CODES[this.#name] ?? 0;
  }
  get [Symbol.toStringTag]() {
    return 'DOMException';
  }
}

named({ DOMException });
