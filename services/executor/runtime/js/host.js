// What the rest of the JavaScript side knows of its host: which attempt runs, how to ask the host for something,
// timers and captured console lines. It is evaluated first, so that what it captures is still V8's own.
//
// The isolate runs in turns. A turn starts or resumes one attempt and lasts until the microtasks are drained. Those may
// be other attempts': whoever settles a promise makes all continue that wait for it. So V8 keeps for each continuation
// what was current when somebody began to wait, as it does for AsyncLocalStorage and AsyncContext: here, the attempt.
//
// Nothing here stores into an array or reads a missing property: user code can put setters on Array.prototype and
// Object.prototype, and must neither see nor forge what we keep.

import { keepLine } from './journal.js';

const { apply, construct, defineProperty, deleteProperty, getPrototypeOf, ownKeys, setPrototypeOf } = Reflect;
const uncurry = (method) => (self, ...args) => apply(method, self, args);

// v8.py has put there what V8 gives to embedders alone. Neither of these may ever get to user code, which could then
// act for other events.
const { getContinuationPreservedEmbedderData: current, setContinuationPreservedEmbedderData: makeCurrent } = globalThis[0];
deleteProperty(globalThis, 0);
if (typeof current !== 'function' || typeof makeCurrent !== 'function') throw new Error('this V8 does not keep the context of continuations');

export const primordials = Object.freeze({
  __proto__: null,
  apply,
  construct,
  defineProperty,
  deleteProperty,
  getPrototypeOf,
  ownKeys,
  uncurry,
  stringify: JSON.stringify,
  parse: JSON.parse,
  now: Date.now,
  String,
  Promise,
  Error,
  TypeError,
  RangeError,
  promiseResolve: Promise.resolve.bind(Promise),
  promiseThen: uncurry(Promise.prototype.then),
  isPrototypeOf: uncurry(Object.prototype.isPrototypeOf),
  hasOwn: Object.hasOwn,
  mapGet: uncurry(Map.prototype.get),
  mapSet: uncurry(Map.prototype.set),
  mapDelete: uncurry(Map.prototype.delete),
  slice: uncurry(String.prototype.slice),
  fromCharCode: String.fromCharCode,
  charCodeAt: uncurry(String.prototype.charCodeAt),
  toWellFormed: uncurry(String.prototype.toWellFormed),
});

const { stringify, mapGet, mapSet, mapDelete, slice, charCodeAt, now } = primordials;

// Limits of one attempt. pool.py and cuts.py document the same numbers to the outside.
const LOG_LINES_MAX = 200;
const LOG_CHARS_MAX = 64 * 1024;
const LOG_LINE_CHARS_MAX = 8 * 1024;
// A handler has no use for more; a bomb of timers must not turn the sorted list below into a quadratic one.
const TIMERS_MAX = 1000;
const DELAY_MAX_MS = 2 ** 31 - 1;
const CUT_MARK = '… [cut]';

// The first characters of a text, with no half of a pair at the end. cuts.py masks the head of a secret that a cut
// leaves; it would not know a head by half a character.
export function head(text, max) {
  const last = charCodeAt(text, max - 1);
  return slice(text, 0, last >= 0xd800 && last < 0xdc00 ? max - 1 : max);
}

// cuts.py knows a text that was cut by this mark.
export const capped = (text, max) => (text.length > max ? head(text, max) + CUT_MARK : text);

// Assignments in a constructor would run setters that user code puts on Object.prototype; ours inherit from nothing.
export function detached(type) {
  setPrototypeOf(type.prototype, null);
  return type;
}

export class Attempt {
  constructor(seq, handler, event, capture) {
    this.seq = seq;
    this.handler = handler;
    this.event = event;
    this.capture = capture;
    this.listed = true;
    this.next = null;
    this.done = false;
    this.logs = '';
    this.logLines = 0;
    this.logChars = 0;
    this.logsCut = false;
    this.timers = 0;
    this.lastTimer = null;
    this.fetches = 0;
    this.fetchesRunning = 0;
    this.waitingFirst = null;
    this.waitingLast = null;
    this.lastAtEnd = null;
  }
}
detached(Attempt);

class AtEnd {
  constructor(callback, next) {
    this.callback = callback;
    this.next = next;
  }
}
detached(AtEnd);

// Calls back when an attempt has ended, however it did. What calls back must be ours, not the user's.
export function atEnd(attempt, callback) {
  attempt.lastAtEnd = new AtEnd(callback, attempt.lastAtEnd);
}

export function callAtEnd(attempt) {
  for (let known = attempt.lastAtEnd; known !== null; known = known.next) known.callback();
  attempt.lastAtEnd = null;
}

// `records` is the text that the next flush takes to the host. `attempt` is whose turn it is, `shown` the one that the
// cell says runs; `show` makes it say another. Neither is there while a whole batch runs in one turn.
export const state = {
  __proto__: null,
  attempt: null,
  shown: null,
  show: null,
  loading: false,
  records: '',
};

// From here on `attempt` runs, and whatever waits for anything does so as its continuation; null: nobody does.
export const enter = (attempt) => makeCurrent(attempt ?? undefined);

// Everything that is tied to an attempt calls this first. It answers the attempt, or null when there is none any more.
// What the script's top level has begun runs for whoever wakes it.
export function touch() {
  const attempt = current() ?? state.attempt;
  if (attempt === null || attempt.done) return null;
  if (attempt !== state.shown && state.attempt !== null) state.show(attempt);
  return attempt;
}

// ---- turns: a queue as a linked list ---------------------------------------------------------------------------

class Turn {
  constructor(attempt, run) {
    this.attempt = attempt;
    this.run = run;
    this.next = null;
  }
}
detached(Turn);

let firstTurn = null;
let lastTurn = null;

export function enqueueTurn(attempt, run) {
  const turn = new Turn(attempt, run);
  if (lastTurn === null) firstTurn = turn;
  else lastTurn.next = turn;
  lastTurn = turn;
}

export function nextTurn() {
  for (;;) {
    const turn = firstTurn;
    if (turn === null) return null;
    firstTurn = turn.next;
    if (firstTurn === null) lastTurn = null;
    if (!turn.attempt.done) return turn;
  }
}

export const hasTurns = () => firstTurn !== null;

// A promise whose settling continues this attempt in a turn of its own, whoever settles it. Anything that shares one
// result between attempts (cache.load) hands each of them one of these, so that no attempt runs in another's turn.
// `resume` settles it with what a function does in that turn.
export function suspend() {
  const attempt = touch();
  let settle;
  const promise = new primordials.Promise((resolve, reject) => {
    settle = { __proto__: null, resolve, reject };
  });
  return {
    __proto__: null,
    promise,
    resolve: (value) => attempt !== null && enqueueTurn(attempt, () => settle.resolve(value)),
    reject: (error) => attempt !== null && enqueueTurn(attempt, () => settle.reject(error)),
    resume: (compute) => attempt !== null && enqueueTurn(attempt, () => settle.resolve(compute())),
  };
}

// ---- records ---------------------------------------------------------------------------------------------------

// The JSON of a text. Python's parser takes no half of a pair of surrogates.
export const quote = (text) => stringify(primordials.toWellFormed(text));

// One line each; JSON has no line breaks of its own.
export function addRecord(record) {
  state.records = state.records === '' ? record : state.records + '\n' + record;
}

// ---- timers ----------------------------------------------------------------------------------------------------

class Timer {
  constructor(id, attempt, callback, args, delay, repeats) {
    this.id = id;
    this.attempt = attempt;
    this.callback = callback;
    this.args = args;
    this.delay = delay;
    this.repeats = repeats;
    this.due = 0;
    this.armed = false;
    this.sibling = attempt.lastTimer;
    this.previous = null;
    this.next = null;
  }
}
detached(Timer);

const timersById = new Map();
let lastTimerId = 0;
let firstTimer = null;
let finalTimer = null;

function arm(timer) {
  timer.due = now() + timer.delay;
  timer.armed = true;
  // New timers mostly fall due last, so the search for the place begins at the end.
  let before = finalTimer;
  while (before !== null && before.due > timer.due) before = before.previous;
  timer.previous = before;
  timer.next = before === null ? firstTimer : before.next;
  if (timer.next === null) finalTimer = timer;
  else timer.next.previous = timer;
  if (before === null) firstTimer = timer;
  else before.next = timer;
}

function disarm(timer) {
  if (!timer.armed) return;
  timer.armed = false;
  if (timer.previous === null) firstTimer = timer.next;
  else timer.previous.next = timer.next;
  if (timer.next === null) finalTimer = timer.previous;
  else timer.next.previous = timer.previous;
}

function forget(timer) {
  disarm(timer);
  if (mapDelete(timersById, timer.id)) timer.attempt.timers -= 1;
}

// `delay` is in milliseconds, as in setTimeout; answers a number, 0 when no attempt is there to own the timer.
export function setTimer(callback, delay, repeats, args) {
  const attempt = touch();
  if (attempt === null) return 0;
  if (attempt.timers >= TIMERS_MAX) throw new primordials.RangeError(`an attempt may have ${TIMERS_MAX} timers at a time`);
  const ms = +delay;
  const timer = new Timer((lastTimerId += 1), attempt, callback, args, ms >= 1 && ms <= DELAY_MAX_MS ? ms : 1, repeats);
  mapSet(timersById, timer.id, timer);
  attempt.timers += 1;
  attempt.lastTimer = timer;
  arm(timer);
  return timer.id;
}

export function clearTimer(id) {
  const timer = mapGet(timersById, +id);
  if (timer !== undefined) forget(timer);
}

// Begins a timer's time anew, if it has not ended.
export function refreshTimer(id) {
  const timer = mapGet(timersById, id);
  if (timer === undefined) return;
  disarm(timer);
  arm(timer);
}

function fire(timer) {
  if (!mapGet(timersById, timer.id)) return;
  if (!timer.repeats) forget(timer);
  apply(timer.callback, undefined, timer.args);
  if (!timer.repeats || !mapGet(timersById, timer.id)) return;
  // It may have been refreshed meanwhile.
  disarm(timer);
  arm(timer);
}

// Timers end with their attempt.
export function forgetTimers(attempt) {
  for (let timer = attempt.lastTimer; timer !== null; timer = timer.sibling) forget(timer);
  attempt.lastTimer = null;
}

// Queues the turns of all timers that are due.
export function queueDueTimers() {
  const time = now();
  while (firstTimer !== null && firstTimer.due <= time) {
    const timer = firstTimer;
    disarm(timer);
    enqueueTurn(timer.attempt, () => fire(timer));
  }
}

// When the next timer is due, in milliseconds of Date.now(); 0 for never.
export const nextDue = () => (firstTimer === null ? 0 : firstTimer.due);

// ---- console ---------------------------------------------------------------------------------------------------

// Appends a line to the console of the current attempt; what exceeds the limits is cut, and marked where.
export function log(level, line) {
  const attempt = touch();
  if (attempt === null || attempt.logsCut) return;
  let text = typeof line === 'string' ? line : primordials.String(line);
  text = capped(text, LOG_LINE_CHARS_MAX);
  const room = LOG_CHARS_MAX - attempt.logChars;
  if (attempt.logLines >= LOG_LINES_MAX || text.length > room) {
    attempt.logsCut = true;
    text = attempt.logLines >= LOG_LINES_MAX ? CUT_MARK : capped(text, room);
  }
  attempt.logLines += 1;
  attempt.logChars += text.length;
  const time = now();
  keepLine(attempt.seq, level, time, text);
  const entry = `[${quote(`${level}`)},${time},${quote(text)}]`;
  attempt.logs = attempt.logs === '' ? entry : attempt.logs + ',' + entry;
}

// ---- synchronous calls -----------------------------------------------------------------------------------------

// Layout of the shared buffer: Int32 operation, length, more, status; then the bytes.
const HEADER_BYTES = 16;
const CHUNK_BYTES = 1 << 20;
const shared = new ArrayBuffer(HEADER_BYTES + CHUNK_BYTES);
const header = new Int32Array(shared, 0, 4);
const chunk = new Uint8Array(shared, HEADER_BYTES);
const Bytes = Uint8Array;
const setBytes = uncurry(Uint8Array.prototype.set);
const getter = (name) => uncurry(Object.getOwnPropertyDescriptor(getPrototypeOf(Uint8Array.prototype), name).get);
const lengthOf = getter('byteLength');
const offsetOf = getter('byteOffset');
const bufferOf = getter('buffer');
// Not `subarray`: that asks the constructor which class to make, and so would hand user code the buffer itself.
const part = (bytes, start, end) => new Bytes(bufferOf(bytes), offsetOf(bytes) + start, end - start);
let callHost = null;

// Called once by the worker: keeps the raw function, and gives the buffer whose bytes Python shares.
export function bindSync(raw) {
  callHost = raw;
  return shared;
}

function utf8(text) {
  const source = primordials.toWellFormed(text);
  const bytes = new Bytes(source.length * 3);
  let end = 0;
  for (let i = 0; i < source.length; i += 1) {
    let code = charCodeAt(source, i);
    if (code < 0x80) {
      bytes[end++] = code;
    } else if (code < 0x800) {
      bytes[end++] = 0xc0 | (code >> 6);
      bytes[end++] = 0x80 | (code & 63);
    } else {
      if (code >= 0xd800 && code < 0xdc00) {
        i += 1;
        code = 0x10000 + ((code & 0x3ff) << 10) + (charCodeAt(source, i) & 0x3ff);
        bytes[end++] = 0xf0 | (code >> 18);
        bytes[end++] = 0x80 | ((code >> 12) & 63);
      } else {
        bytes[end++] = 0xe0 | (code >> 12);
      }
      bytes[end++] = 0x80 | ((code >> 6) & 63);
      bytes[end++] = 0x80 | (code & 63);
    }
  }
  return part(bytes, 0, end);
}

function text(bytes, size) {
  let out = '';
  for (let i = 0; i < size; i += 1) out += primordials.fromCharCode(bytes[i]);
  return out;
}

// A synchronous call to Python in the worker: `operation` is a number, the answer is bytes. What Python refuses is
// thrown as an Error with its message. Longer inputs and answers pass in chunks of a mebibyte.
export function hostSync(operation, data) {
  const bytes = typeof data === 'string' ? utf8(data) : data;
  const size = lengthOf(bytes);
  let sent = 0;
  do {
    const end = sent + CHUNK_BYTES < size ? sent + CHUNK_BYTES : size;
    setBytes(chunk, part(bytes, sent, end), 0);
    header[0] = operation;
    header[1] = end - sent;
    header[2] = end < size ? 1 : 0;
    callHost();
    sent = end;
  } while (sent < size);
  return received();
}

function received() {
  refuse();
  const total = header[0];
  const out = new Bytes(total);
  for (let got = 0; ; ) {
    setBytes(out, part(chunk, 0, header[1]), got);
    got += header[1];
    if (got >= total) return out;
    header[0] = -1;
    callHost();
    refuse();
    if (header[1] === 0) throw new primordials.Error('the answer was cut');
  }
}

function refuse() {
  if (header[3] !== 0) throw new primordials.Error(text(chunk, header[1]));
}
