import { named } from './named.js';

// The names that carry a legacy code: https://webidl.spec.whatwg.org/#dfn-error-names-table
const CODES = {
  IndexSizeError: 1, HierarchyRequestError: 3, WrongDocumentError: 4, InvalidCharacterError: 5, NoModificationAllowedError: 7,
  NotFoundError: 8, NotSupportedError: 9, InUseAttributeError: 10, InvalidStateError: 11, SyntaxError: 12,
  InvalidModificationError: 13, NamespaceError: 14, InvalidAccessError: 15, TypeMismatchError: 17, SecurityError: 18,
  NetworkError: 19, AbortError: 20, URLMismatchError: 21, QuotaExceededError: 22, TimeoutError: 23, InvalidNodeTypeError: 24,
  DataCloneError: 25,
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

// The names that older code compares with, such as DOMException.ABORT_ERR; Node gives all 25.
const LEGACY = [
  'INDEX_SIZE', 'DOMSTRING_SIZE', 'HIERARCHY_REQUEST', 'WRONG_DOCUMENT', 'INVALID_CHARACTER', 'NO_DATA_ALLOWED', 'NO_MODIFICATION_ALLOWED', 'NOT_FOUND',
  'NOT_SUPPORTED', 'INUSE_ATTRIBUTE', 'INVALID_STATE', 'SYNTAX', 'INVALID_MODIFICATION', 'NAMESPACE', 'INVALID_ACCESS', 'VALIDATION', 'TYPE_MISMATCH',
  'SECURITY', 'NETWORK', 'ABORT', 'URL_MISMATCH', 'QUOTA_EXCEEDED', 'TIMEOUT', 'INVALID_NODE_TYPE', 'DATA_CLONE',
];
LEGACY.forEach((name, place) => {
  for (const target of [DOMException, DOMException.prototype]) Object.defineProperty(target, `${name}_ERR`, { value: place + 1, enumerable: true });
});

named({ DOMException });
