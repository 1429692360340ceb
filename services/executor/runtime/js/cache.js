// cache.load(key, ttlMs, fn) and cache.delete(key): values kept between the events of one isolate.
//
// An entry holds its attempt, which user code must not get: so nothing here is called by a name that it can replace.
import { atEnd, detached, primordials, state, suspend, touch } from './host.js';

const { mapDelete, mapGet, mapSet, promiseResolve } = primordials;

// Keys may come from events; past this many the one loaded first goes.
const KEYS_MAX = 1000;

const entries = new Map();
const { now } = primordials;
const toNumber = Number;
const sizeOf = primordials.uncurry(Object.getOwnPropertyDescriptor(Map.prototype, 'size').get);
const keysOf = primordials.uncurry(Map.prototype.keys);
const nextOf = primordials.uncurry(Reflect.getPrototypeOf(entries.keys()).next);

// One of those that wait, in the order in which they came.
class Waiting {
  constructor(wake) {
    this.wake = wake;
    this.next = null;
  }
}
detached(Waiting);

// One flight or its value. The flight belongs to the attempt that began it: its requests and lines are that attempt's,
// and it ends with it. Those that wait for it then fly themselves, the first of them for the others.
class Entry {
  constructor(key, owner, ttlMs) {
    this.key = key;
    this.owner = owner;
    this.ttlMs = toNumber(ttlMs) || 0;
    this.expires = Infinity;
    this.state = 'flying';
    this.value = undefined;
    this.firstWaiting = this.lastWaiting = null;
    if (owner !== null) atEnd(owner, () => this.state === 'flying' && this.settle('abandoned'));
  }

  get usable() {
    // What flies on after the top level waits for a timer or an answer, and nobody is there to get either.
    if (this.state === 'flying') return this.owner !== null || state.loading;
    return this.state === 'landed' && now() < this.expires;
  }

  settle(state, value) {
    this.state = state;
    this.value = value;
    this.expires = now() + this.ttlMs;
    // A failure is never kept.
    if (state !== 'landed' && mapGet(entries, this.key) === this) mapDelete(entries, this.key);
    const first = this.firstWaiting;
    this.firstWaiting = this.lastWaiting = null;
    for (let waiting = first; waiting !== null; waiting = waiting.next) waiting.wake();
  }

  whenSettled(wake) {
    const waiting = new Waiting(wake);
    if (this.lastWaiting === null) this.firstWaiting = waiting;
    else this.lastWaiting.next = waiting;
    this.lastWaiting = waiting;
  }
}
detached(Entry);

function keep(entry) {
  mapDelete(entries, entry.key);
  mapSet(entries, entry.key, entry);
  if (sizeOf(entries) > KEYS_MAX) mapDelete(entries, nextOf(keysOf(entries)).value);
}

async function fly(entry, fn) {
  try {
    const value = await fn();
    if (entry.state === 'flying') entry.settle('landed', value);
    return value;
  } catch (error) {
    if (entry.state === 'flying') entry.settle('failed', error);
    throw error;
  }
}

// Waits for another attempt's flight, and goes on in turns of its own.
function join(entry, ttlMs, fn) {
  const turn = suspend();
  entry.whenSettled(() => {
    if (entry.state === 'landed') turn.resolve(entry.value);
    else if (entry.state === 'failed') turn.reject(entry.value);
    else turn.resume(() => load(entry.key, ttlMs, fn));
  });
  return turn.promise;
}

// One flight per key: callers that come while it is under way share it.
function load(key, ttlMs, fn) {
  const attempt = touch();
  if (typeof fn !== 'function') throw new primordials.TypeError('cache.load(key, ttlMs, fn): fn must be a function');
  const name = `${key}`;
  const known = mapGet(entries, name);
  if (known?.usable) {
    if (known.state === 'landed') return promiseResolve(known.value);
    if (attempt !== null) return join(known, ttlMs, fn);
  }
  const entry = new Entry(name, attempt, ttlMs);
  keep(entry);
  return fly(entry, fn);
}

// True where there was something to delete; a flight under way still ends for those that wait for it.
function remove(key) {
  touch();
  return mapDelete(entries, `${key}`);
}

export const cache = Object.freeze({ load, delete: remove });
