// The pump: batches of events come in as one JSON text, outcomes and host requests go out as another. The worker
// calls these entries as tasks of the isolate; between two tasks V8 drains the microtasks.
//
// Two modes. Either each event is started in a turn of its own: `turn`, microtasks, `flush`. Or `startAll` starts a whole
// batch in one turn and `collect` gathers it, for scripts that are not seen to wait for anything: that is quicker, but
// times are a mean then, and what runs too long is found by running the events singly. What goes on later, at an answer
// or a timer, does so in turns of its own.
//
// The texts are put together by concatenation of what JSON.stringify gave for primitives. A record is a line with
// [0,seq,{value?,error?,logs?}] for an outcome that is more than a plain success, or [1,seq,requestId,kind,payload].

import { resultsDetail } from './batch.js';
import { resetConsole } from './console.js';
import * as host from './host.js';
import { describe, notDefined, timeout } from './failure.js';
import { bindJournal } from './journal.js';
import { addLibrary } from './modules.js';
import { answer } from './requests.js';
import { adopt, handlers, wrap } from './script.js';

const { addRecord, primordials, quote, state } = host;
const { apply, mapDelete, mapGet, mapSet, parse, stringify } = primordials;

const VALUE_CHARS_MAX = 16 * 1024;
// Its event is an array of events.
const BATCH_HANDLER = 'onBatch';

// The cell is memory that the parent process can read when this one is gone. It says which event runs: the one whose turn
// it is, or another one that goes on in this turn, from its first touch to its end.
const NOBODY = 0;
const WHOLE_BATCH = -1;
const RUNNING = 0;
const TURNS_LEFT = 1;
const NEXT_DUE = 1; // in units of 8 bytes
const RAN = 4; // whose turn it was, at the flush
const ENDED_PLAINLY = 5; // 1: this turn did nothing but end its own attempt as a plain success
// Places 8 to 12 are others': pump.py's beats and journal.js.
const CELL_BYTES = 4096;
const cellBuffer = new ArrayBuffer(4 * 64 * 1024);
let cell = new Int32Array(cellBuffer, 0, CELL_BYTES / 4);
let due = new Float64Array(cellBuffer, 0, CELL_BYTES / 8);

bindJournal(cellBuffer, 0);

const shareCell = () => cellBuffer;

// The worker has put shared memory under this offset of the buffer, where a page begins.
function bindCell(offset) {
  cell = new Int32Array(cellBuffer, +offset, CELL_BYTES / 4);
  due = new Float64Array(cellBuffer, +offset, CELL_BYTES / 8);
  bindJournal(cellBuffer, +offset);
}

state.show = (attempt) => {
  state.shown = attempt;
  cell[RUNNING] = attempt.seq;
};

// ---- settings --------------------------------------------------------------------------------------------------

let freshSettings = () => ({});

// A literal is cloned faster than JSON is parsed; `__proto__` means something else in one than in the other.
const MakeFunction = Function;
const includes = primordials.uncurry(String.prototype.includes);
function setSettings(text) {
  freshSettings = includes(text, '__proto__') ? () => parse(text) : new MakeFunction(`return ${text};`);
}

// ---- settling --------------------------------------------------------------------------------------------------

let settled = '';
let settledCount = 0;
let lastSettled = 0;
const waiting = new Map();

function settle(attempt, detail) {
  attempt.done = true;
  // Whatever happens in the rest of the turn is not the doing of one that has ended.
  if (attempt === state.shown && state.attempt !== null) state.show(state.attempt);
  if (attempt.lastTimer !== null) host.forgetTimers(attempt);
  if (attempt.lastAtEnd !== null) host.callAtEnd(attempt);
  if (attempt.listed) {
    mapDelete(waiting, attempt.seq);
    settledCount += 1;
    lastSettled = attempt.seq;
    settled = settled === '' ? `${attempt.seq}` : `${settled},${attempt.seq}`;
  }
  if (attempt.logs !== '') detail += `${detail === '' ? '' : ','}"logs":[${attempt.logs}]`;
  if (detail !== '') addRecord(`[0,${attempt.seq},{${detail}}]`);
}

function valueDetail(value) {
  try {
    const text = stringify(value);
    if (text === undefined) return '';
    if (text.length <= VALUE_CHARS_MAX) return `"value":${quote(text)}`;
    return `"value":${quote(host.head(text, VALUE_CHARS_MAX))},"valueCut":true`;
  } catch (error) {
    return `"valueError":${describe(error)}`;
  }
}

function succeed(attempt, value, events) {
  if (attempt.done) return;
  let detail = attempt.capture ? valueDetail(value) : '';
  if (events !== 0) {
    const results = resultsDetail(value, events);
    detail += detail === '' || results === '' ? results : `,${results}`;
    // Reading may have run code of the script's.
    if (attempt.done) return;
  }
  settle(attempt, detail);
}

function fail(attempt, thrown) {
  if (attempt.done) return;
  settle(attempt, `"error":${describe(thrown)}`);
}

// `await` on a native promise uses neither its `then` nor anything else that a script can replace.
async function run(attempt) {
  resetConsole();
  try {
    const handler = handlers[attempt.handler];
    if (handler === undefined) return settle(attempt, `"error":${notDefined(attempt.handler)}`);
    const { event } = attempt;
    const events = attempt.handler === BATCH_HANDLER ? event.length : 0;
    const value = await apply(handler.run, handler.self, [event, freshSettings()]);
    succeed(attempt, value, events);
  } catch (thrown) {
    fail(attempt, thrown);
  }
}

// ---- batches ---------------------------------------------------------------------------------------------------

// {n: first sequence number, t: handler names, c: captures, e: events}; t and c hold one entry for all or one each.
function attemptsOf(text, listed) {
  const { n, t, c, e } = parse(text);
  let first = null;
  let last = null;
  for (let i = 0; i < e.length; i += 1) {
    const attempt = new host.Attempt(n + i, t[t.length === 1 ? 0 : i], e[i], c[c.length === 1 ? 0 : i] === 1);
    attempt.listed = listed;
    if (last === null) first = attempt;
    else last.next = attempt;
    last = attempt;
  }
  return first;
}

let batch = null;

function startAll(text) {
  batch = attemptsOf(text, false);
  if (batch.next === null) state.attempt = batch;
  for (let attempt = batch; attempt !== null; attempt = attempt.next) {
    cell[RUNNING] = attempt.seq;
    host.enter(attempt);
    run(attempt);
  }
  host.enter(null);
  if (batch.next !== null) cell[RUNNING] = WHOLE_BATCH;
}

// Answers nothing when all ended as plain successes, else `unsettled;settled stragglers\nrecords`.
function collect() {
  state.attempt = state.shown = null;
  cell[RUNNING] = NOBODY;
  let unsettled = '';
  for (let attempt = batch; attempt !== null; attempt = attempt.next) {
    if (attempt.done) continue;
    attempt.listed = true;
    mapSet(waiting, attempt.seq, attempt);
    unsettled += unsettled === '' ? `${attempt.seq}` : `,${attempt.seq}`;
  }
  batch = null;
  note();
  return taken(unsettled, ';');
}

function taken(unsettled, separator) {
  if (unsettled === '' && settled === '' && state.records === '') return undefined;
  const text = `${unsettled}${separator}${settled}\n${state.records}`;
  settled = '';
  settledCount = 0;
  state.records = '';
  return text;
}

function startEach(text) {
  for (let attempt = attemptsOf(text, true); attempt !== null; attempt = attempt.next) {
    mapSet(waiting, attempt.seq, attempt);
    host.enqueueTurn(attempt, null);
  }
  note();
}

function turn() {
  const next = host.nextTurn();
  if (next === null) {
    cell[RAN] = NOBODY;
    return;
  }
  const { attempt } = next;
  state.attempt = attempt;
  state.show(attempt);
  host.enter(attempt);
  cell[RAN] = attempt.seq;
  if (next.run === null) {
    run(attempt);
    return;
  }
  try {
    next.run();
  } catch (thrown) {
    fail(attempt, thrown);
  }
}

const note = () => {
  cell[TURNS_LEFT] = host.hasTurns() ? 1 : 0;
  due[NEXT_DUE] = host.nextDue();
};

function flush() {
  state.attempt = state.shown = null;
  host.enter(null);
  cell[RUNNING] = NOBODY;
  note();
  const plainly = settledCount === 1 && lastSettled === cell[RAN] && state.records === '';
  cell[ENDED_PLAINLY] = plainly ? 1 : 0;
  if (!plainly) return taken('', '');
  settled = '';
  settledCount = 0;
  return undefined;
}

// ---- what the host brings ----------------------------------------------------------------------------------------

// [[requestId, ok, value], ...]
function answers(text) {
  const list = parse(text);
  for (let i = 0; i < list.length; i += 1) answer(list[i][0], list[i][1], list[i][2]);
  note();
}

function wake() {
  host.queueDueTimers();
  note();
}

// Ends attempts that were waiting beyond their time.
function expire(text) {
  const list = parse(text);
  for (let i = 0; i < list.length; i += 1) {
    const attempt = mapGet(waiting, list[i]);
    if (attempt !== undefined) settle(attempt, `"error":${timeout()}`);
  }
  note();
}

// ---- before the script -------------------------------------------------------------------------------------------

const REHEARSED = '{"n":0,"t":[""],"c":[0],"e":[{}]}';

// Goes once through what the script and its first event will go through, so that V8 has compiled it. No handler has
// this name, so both attempts fail at once and nothing is left of them.
function rehearse() {
  setSettings('{}');
  wrap('');
  adopt(() => {});
  startAll(REHEARSED);
  collect();
  startEach(REHEARSED);
  turn();
  flush();
}

// What an entry takes comes as `this`: see v8.py.
const taking = (entry) =>
  function () {
    'use strict';
    return entry(this);
  };

export const entries = {
  rehearse,
  addLibrary: taking(addLibrary),
  wrap: taking(wrap),
  adopt: taking(adopt),
  setSettings: taking(setSettings),
  nothing() {},
  shareCell,
  bindCell: taking(bindCell),
  bindSync: taking(host.bindSync),
  startAll: taking(startAll),
  collect,
  startEach: taking(startEach),
  turn,
  flush,
  answers: taking(answers),
  wake,
  expire: taking(expire),
};
