// Puts the globals of user code on the global object. Each is evaluated at its first touch: an isolate pays for what
// its function names.
import { cache } from './cache.js';
import { console, resetConsole } from './console.js';
import { load } from './modules.js';
import { queueMicrotask } from './timers.js';
import { isNetworkFailure } from './web/network_failures.js';

// Captured before user code can replace them.
const { defineProperty } = Object;
const dateNow = Date.now;
const timeOrigin = dateNow();

const buffer = () => load('web/buffer.js');
const encoding = () => load('web/encoding.js');
const url = () => load('web/url.js');
const fetching = () => load('web/fetch.js');
const abort = () => load('web/abort.js');
const blob = () => load('web/blob.js');
const base64 = () => load('web/base64.js');

const LAZY = {
  AbortController: () => abort().AbortController,
  AbortSignal: () => abort().AbortSignal,
  Blob: () => blob().Blob,
  Buffer: () => buffer().Buffer,
  DOMException: () => load('web/dom_exception.js').DOMException,
  Event: () => abort().Event,
  EventTarget: () => abort().EventTarget,
  File: () => blob().File,
  FormData: () => load('web/form_data.js').FormData,
  Headers: () => fetching().Headers,
  Request: () => fetching().Request,
  Response: () => fetching().Response,
  TextDecoder: () => encoding().TextDecoder,
  TextEncoder: () => encoding().TextEncoder,
  URL: () => url().URL,
  URLSearchParams: () => url().URLSearchParams,
  atob: () => base64().atob,
  btoa: () => base64().btoa,
  crypto: () => load('crypto.js').crypto,
  fetch: () => fetching().fetch,
  structuredClone: () => load('web/structured_clone.js').structuredClone,
};

const performance = {
  // A resolution of 1 ms, as Date.now has it.
  now: () => dateNow() - timeOrigin,
  timeOrigin,
  toJSON: () => ({ timeOrigin }),
};

function put(global, name, value) {
  defineProperty(global, name, { value, writable: true, configurable: true, enumerable: false });
}

function putLazily(global, name, load) {
  defineProperty(global, name, {
    get() {
      const value = load();
      put(global, name, value);
      return value;
    },
    set(value) {
      put(global, name, value);
    },
    configurable: true,
    enumerable: false,
  });
}

export function install(global) {
  for (const name of Object.keys(LAZY)) putLazily(global, name, LAZY[name]);
  put(global, 'cache', cache);
  put(global, 'console', console);
  put(global, 'performance', performance);
  put(global, 'queueMicrotask', queueMicrotask);
}

export { isNetworkFailure, resetConsole };
