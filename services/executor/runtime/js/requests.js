// Requests of attempts to the host. What crosses is put together from texts, numbers and booleans of bounded size, never
// from objects: `Object.prototype.toJSON` would let user code choose what the executor has to parse.
import { addRecord, detached, enqueueTurn, primordials, quote, state, touch } from './host.js';

const { mapDelete, mapGet, mapSet, Promise, String } = primordials;
const { freeze } = Object;

// The broker has the same limits, and bounds heads more narrowly.
const FETCHES_MAX = 50;
const FETCHES_AT_ONCE = 10;
const BODY_BYTES_MAX = 5 * 1024 * 1024;
const BODY_CHARS_MAX = Math.ceil(BODY_BYTES_MAX / 3) * 4; // in base64
const HEAD_CHARS_MAX = 128 * 1024;
// What a header costs beside its name and value, so that empty ones are bounded as well; HTTP/2 counts as many.
const HEADER_CHARS = 32;
const NUMBER_MAX = Number.MAX_SAFE_INTEGER;

class Request {
  constructor(id, attempt, payload, resolve, reject) {
    this.id = id;
    this.attempt = attempt;
    this.payload = payload;
    this.resolve = resolve;
    this.reject = reject;
    this.aborted = false;
    this.next = null;
  }
}
detached(Request);

// Those that the host has.
const requests = new Map();
let lastId = 0;

const refusal = (code, type, message) => freeze({ __proto__: null, code, type, message });
const LIMIT = refusal('LIMIT', 'limit', `an attempt may make ${FETCHES_MAX} requests`);
const NO_ATTEMPT = refusal('NO_ATTEMPT', 'limit', 'no event is being handled yet');
const tooLarge = (what, limit) => refusal('TOO_LARGE', 'max-size', `${what} over limit: ${limit}`);

// ---- what is sent ----------------------------------------------------------------------------------------------

const countOf = (value) => (typeof value === 'number' && value >= 0 && value <= NUMBER_MAX ? value : null);

// The JSON of an array of [name, value], or null where url and headers together are too long.
function headersText(url, headers) {
  let room = HEAD_CHARS_MAX - url.length;
  let text = '';
  for (let i = 0; i < headers.length && room >= 0; i += 1) {
    const name = String(headers[i][0]);
    const value = String(headers[i][1]);
    room -= name.length + value.length + HEADER_CHARS;
    if (room >= 0) text += `${i === 0 ? '' : ','}[${quote(name)},${quote(value)}]`;
  }
  return room < 0 ? null : `[${text}]`;
}

// Answers text, or the refusal of what is too large.
function payloadOf(id, wanted) {
  const url = String(wanted.url);
  const headers = headersText(url, wanted.headers);
  if (headers === null) return tooLarge('the head of a request is', HEAD_CHARS_MAX);
  const method = String(wanted.method);
  const redirect = String(wanted.redirect);
  if (method.length + redirect.length > HEAD_CHARS_MAX) return tooLarge('the head of a request is', HEAD_CHARS_MAX);
  const body = wanted.body === null ? null : String(wanted.body);
  if (body !== null && body.length > BODY_CHARS_MAX) return tooLarge(`request body to ${url}`, BODY_BYTES_MAX);
  return (
    `{"id":${id},"method":${quote(method)},"url":${quote(url)},"headers":${headers},` +
    `"body":${body === null ? null : quote(body)},"redirect":${quote(redirect)},"follow":${countOf(wanted.follow)},` +
    `"timeout_ms":${countOf(wanted.timeout_ms)},"size":${countOf(wanted.size)},` +
    `"compress":${wanted.compress === true},"plain":${wanted.plain === true}}`
  );
}

function send(request) {
  mapSet(requests, request.id, request);
  addRecord(`[1,${request.attempt.seq},${request.id},"fetch",${request.payload}]`);
  request.payload = '';
}

// ---- so many at once -------------------------------------------------------------------------------------------

function admit(request) {
  const { attempt } = request;
  if (attempt.fetchesRunning < FETCHES_AT_ONCE) {
    attempt.fetchesRunning += 1;
    send(request);
  } else if (attempt.waitingLast === null) {
    attempt.waitingFirst = attempt.waitingLast = request;
  } else {
    attempt.waitingLast = attempt.waitingLast.next = request;
  }
}

function release(attempt) {
  attempt.fetchesRunning -= 1;
  if (attempt.done) return;
  let waiting = attempt.waitingFirst;
  while (waiting !== null && waiting.aborted) waiting = waiting.next;
  attempt.waitingFirst = waiting === null ? null : waiting.next;
  if (attempt.waitingFirst === null) attempt.waitingLast = null;
  if (waiting !== null) admit(waiting);
}

// ---- asking and answering --------------------------------------------------------------------------------------

// In the name of the attempt whose request it is, whoever aborts it.
function abort(request) {
  if (request.aborted || request.attempt.done) return;
  request.aborted = true;
  if (mapGet(requests, request.id) !== request) return;
  addRecord(`[1,${request.attempt.seq},${(lastId += 1)},"abort",{"id":${request.id}}]`);
}

// A request of the current attempt: {promise, abort}. The promise resolves with the host's JSON answer, or rejects with
// the plain object {code, type, message} that the host gave. After the end of its attempt it never settles.
export function hostFetch(wanted) {
  const attempt = touch();
  let request = null;
  const promise = new Promise((resolve, reject) => {
    if (attempt === null) {
      if (state.loading) reject(NO_ATTEMPT);
      return;
    }
    attempt.fetches += 1;
    if (attempt.fetches > FETCHES_MAX) return reject(LIMIT);
    const id = (lastId += 1);
    const payload = payloadOf(id, wanted);
    if (typeof payload !== 'string') return reject(payload);
    request = new Request(id, attempt, payload, resolve, reject);
    admit(request);
  });
  return freeze({ __proto__: null, promise, abort: () => request !== null && abort(request) });
}

// The host's answer to a request: queues the turn in which its promise settles.
export function answer(id, ok, value) {
  const request = mapGet(requests, id);
  if (request === undefined) return;
  mapDelete(requests, id);
  release(request.attempt);
  enqueueTurn(request.attempt, () => (ok ? request.resolve(value) : request.reject(value)));
}
