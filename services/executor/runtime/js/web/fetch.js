// fetch of node-fetch 2: its own Headers, Request, Response and errors over a transport that is one host request.
// Redirects, decompression and limits on connections are the host's; `size` is checked where node-fetch checks it, when
// the body is read.
import nodeFetch from 'node-fetch';
import { PassThrough } from '../node/stream.js';
import { touch } from '../host.js';
import { hostFetch } from '../requests.js';
import { Buffer } from './buffer.js';
import { Blob, blobBytes } from './blob.js';
import { named } from './named.js';
import { markNetworkFailure } from './network_failures.js';
import { joinedHeaders } from './response_headers.js';

const { AbortError, FetchError, Headers, Request, Response } = nodeFetch;

const NETWORK_CODES = new Set(['ECONNREFUSED', 'ECONNRESET', 'ENOTFOUND', 'ETIMEDOUT', 'EAI_AGAIN', 'EPIPE', 'EHOSTUNREACH', 'ENETUNREACH', 'ERR_STREAM_PREMATURE_CLOSE']);
const { toBase64 } = Uint8Array.prototype;
const { fromBase64 } = Uint8Array;
const { apply } = Reflect;
const { then } = Promise.prototype;

// What a rejection of the host becomes, by its type; anything else is of the network ('system').
const MESSAGES = {
  'request-timeout': (url) => `network timeout at: ${url}`,
  'body-timeout': (url, error) => `Response timeout while trying to fetch ${url} (over ${error.timeout_ms}ms)`,
  'max-redirect': (url) => `maximum redirect reached at: ${url}`,
  'no-redirect': (url) => `uri requested responds with a redirect, redirect mode is set to error: ${url}`,
  'invalid-redirect': (url, error) => error.message,
  'unsupported-redirect': () => 'Cannot follow redirect with body being a readable stream',
};

function fetchError(rejection, requestUrl) {
  const type = rejection.type ?? 'system';
  const url = rejection.url ?? requestUrl;
  if (type === 'type-error') return Object.assign(new TypeError(rejection.message), { code: rejection.code });
  // Only a failure before the status line is worded as the whole request's.
  const plain = rejection.phase === 'body' || type !== 'system' ? rejection.text : undefined;
  const message = MESSAGES[type]?.(url, rejection) ?? plain ?? `request to ${url} failed, reason: ${rejection.message}`;
  const error = new FetchError(message, type, rejection.code && !(type in MESSAGES) ? { code: rejection.code } : undefined);
  if (NETWORK_CODES.has(rejection.code) || type === 'request-timeout' || type === 'body-timeout') markNetworkFailure(error);
  return error;
}

// The bytes of a body, given to `done`: at once wherever possible, since a request that is not awaited must have left
// before its handler ends.
function withBytes(body, done, failed) {
  if (body === null || Buffer.isBuffer(body)) return done(body);
  const bytes = blobBytes(body);
  if (bytes) return done(bytes);
  const chunks = [];
  const stream = typeof body.stream === 'function' ? body.stream() : body;
  stream.on('error', failed);
  const ignore = () => {};
  stream.pipe({
    write: (chunk) => void chunks.push(Buffer.from(chunk)),
    end: () => done(Buffer.concat(chunks)),
    on: ignore,
    once: ignore,
    emit: ignore,
    removeListener: ignore,
  });
  return undefined;
}

function checkUrl(url) {
  const [, scheme, host] = /^([a-z][a-z\d+.-]*:)(?:\/\/)?([^/?#]*)/i.exec(url) ?? [];
  // The legacy parser sees a host in `data:text/plain`.
  if (!scheme || !host || /^javascript:$/i.test(scheme)) throw new TypeError('Only absolute URLs are supported');
  if (!/^https?:$/i.test(scheme)) throw new TypeError('Only HTTP(S) protocols are supported');
}

// The headers that node-fetch sends, in its order. The broker says how long the body is.
function requestHeaders(request) {
  const raw = request.headers.raw();
  const sent = [];
  let accept = false;
  let agent = false;
  let encoding = !request.compress;
  for (const name of Object.keys(raw)) {
    const key = name.toLowerCase();
    if (key === 'accept') accept = true;
    else if (key === 'user-agent') agent = true;
    else if (key === 'accept-encoding') encoding = true;
    for (const value of raw[name]) sent.push([name, value]);
  }
  if (!accept) sent.push(['Accept', '*/*']);
  if (!agent) sent.push(['User-Agent', 'node-fetch/1.0 (+https://github.com/bitinn/node-fetch)']);
  if (!encoding) sent.push(['Accept-Encoding', 'gzip,deflate']);
  return sent;
}

const isValid = ([name, value]) => !/[^^_`a-zA-Z\-0-9!#$%&'*+.|~]/.test(name) && !/[^\t\x20-\x7e\x80-\xff]/.test(value);

function responseHeaders(pairs) {
  const headers = new Headers();
  const raw = headers.raw();
  const joined = joinedHeaders(pairs.filter(isValid));
  for (const name of Object.keys(joined)) raw[name] = [joined[name]].flat();
  return headers;
}

// A body of a response, which can fail after its head was there.
class ResponseBody extends PassThrough {
  #failure = null;
  fail(error) {
    this.#failure = error;
    passOn(this, error);
  }
  pipe(destination) {
    super.pipe(destination);
    if (this.#failure) Promise.resolve().then(() => passOn(destination, this.#failure));
    return destination;
  }
  async *[Symbol.asyncIterator]() {
    if (this.#failure) throw this.#failure;
    yield* super[Symbol.asyncIterator]();
  }
}

// node-fetch wraps what a body's stream emits, unless it is an AbortError by its name; our errors are whole already.
function passOn(stream, error) {
  if (!stream.listenerCount('error')) return;
  Object.defineProperty(error, 'name', { value: 'AbortError', configurable: true });
  stream.emit('error', error);
  delete error.name;
}

function makeResponse(answer, request) {
  const bytes = answer.body ? apply(fromBase64, Uint8Array, [answer.body]) : new Uint8Array();
  const body = new ResponseBody();
  if (bytes.length) body.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
  return new Response(body.end(), {
    url: answer.redirected ? answer.url : request.url,
    status: answer.status,
    statusText: answer.statusText,
    headers: responseHeaders(answer.headers),
    size: request.size,
    timeout: request.timeout,
    counter: answer.redirected ? 1 : 0,
  });
}

const wantedOf = (request, bytes) => ({
  method: request.method,
  url: request.url,
  headers: requestHeaders(request),
  body: bytes === null ? null : apply(toBase64, bytes, []),
  redirect: request.redirect,
  follow: request.follow,
  timeout_ms: request.timeout || null,
  size: 0,
  compress: Boolean(request.compress),
  plain: false,
});

// A failure whose error is still to be made.
class Failure {
  constructor(make) {
    this.make = make;
  }
}

// Makes the error where V8 knows who waits for it: in a reaction whose promise the caller has. Its stack then names the
// line that called fetch, at no cost to requests that go well.
function throwMade(reason) {
  throw reason instanceof Failure ? reason.make() : reason;
}

function fetch(input, init) {
  touch();
  return apply(then, begun(input, init), [undefined, throwMade]);
}

function begun(input, init) {
  return new Promise((resolve, reject) => {
    const request = new Request(input, init);
    checkUrl(request.url);
    const { signal } = request;
    let aborted = false;
    let sent = null;
    const onAbort = () => {
      aborted = true;
      reject(new Failure(() => new AbortError('The user aborted a request.')));
      sent?.abort();
    };
    if (signal?.aborted) return onAbort();
    signal?.addEventListener('abort', onAbort, { once: true });
    const settle = (settled) => (value) => {
      signal?.removeEventListener('abort', onAbort);
      settled(value);
    };
    withBytes(
      request.body,
      (bytes) => {
        if (aborted) return;
        sent = hostFetch(wantedOf(request, bytes));
        sent.promise.then(
          settle((answer) => resolve(makeResponse(answer, request))),
          settle((rejection) => {
            const make = () => fetchError(rejection ?? {}, request.url);
            if (!rejection?.response) return reject(new Failure(make));
            const response = makeResponse(rejection.response, request);
            response.body.fail(make());
            return resolve(response);
          }),
        );
      },
      settle((error) => reject(new Failure(() => new FetchError(`request to ${request.url} failed, reason: ${error.message}`, 'system', error)))),
    );
    return undefined;
  });
}

// node-fetch has a Blob of its own.
function blob() {
  const type = (this.headers?.get('content-type') ?? '').toLowerCase();
  return this.buffer().then((bytes) => new Blob([bytes], { type }));
}
for (const owner of [Request, Response]) {
  Object.defineProperty(owner.prototype, 'blob', { value: blob, writable: true, configurable: true, enumerable: true });
}

fetch.isRedirect = nodeFetch.isRedirect;
fetch.Promise = Promise;
Object.assign(fetch, { default: fetch, Headers, Request, Response, FetchError, AbortError });
named({ fetch, AbortError, FetchError, Headers, Request, Response });

export { fetch, Headers, Request, Response };
