// cache.load(key, ttlMs, fn) and cache.delete(key): values kept between the events of one isolate.
import { clearTimer, setTimer, suspend, touch } from './host.js';

// Keys may come from events; past this many the one loaded first goes.
const KEYS_MAX = 1000;
// How often those that wait for another event's flight look whether that event is still there to finish it.
const WATCH_MS = 50;

const entries = new Map();
const now = Date.now;

// One flight or its value. The flight belongs to the attempt that began it, and ends with it.
class Entry {
  constructor(key, owner, ttlMs) {
    this.key = key;
    this.owner = owner;
    this.ttlMs = Number(ttlMs) || 0;
    this.expires = Infinity;
    this.state = 'flying';
    this.value = undefined;
    this.waiting = new Set();
  }

  get usable() {
    if (this.state === 'flying') return this.owner === null || !this.owner.done;
    return this.state === 'landed' && now() < this.expires;
  }

  settle(state, value) {
    this.state = state;
    this.value = value;
    this.expires = now() + this.ttlMs;
    // A failure is never kept.
    if (state === 'failed' && entries.get(this.key) === this) entries.delete(this.key);
    for (const wake of this.waiting) wake();
    this.waiting.clear();
  }
}

function keep(entry) {
  entries.delete(entry.key);
  entries.set(entry.key, entry);
  if (entries.size > KEYS_MAX) entries.delete(entries.keys().next().value);
}

async function fly(entry, fn) {
  try {
    const value = await fn();
    entry.settle('landed', value);
    return value;
  } catch (error) {
    entry.settle('failed', error);
    throw error;
  }
}

// Waits for another attempt's flight, in turns of its own; takes over when that attempt ended before its flight did.
function join(entry, key, ttlMs, fn) {
  const turn = suspend();
  const finish = () => {
    clearTimer(watch);
    entry.waiting.delete(finish);
    if (entry.state === 'landed') turn.resolve(entry.value);
    else if (entry.state === 'failed') turn.reject(entry.value);
    else turn.resolve(load(key, ttlMs, fn));
  };
  const watch = setTimer(() => entry.usable || finish(), WATCH_MS, true, []);
  entry.waiting.add(finish);
  return turn.promise;
}

// One flight per key: callers that come while it is under way share it.
function load(key, ttlMs, fn) {
  const attempt = touch();
  if (typeof fn !== 'function') throw new TypeError('cache.load(key, ttlMs, fn): fn must be a function');
  const name = `${key}`;
  const known = entries.get(name);
  if (known?.usable) {
    if (known.state === 'landed') return Promise.resolve(known.value);
    if (attempt !== null) return join(known, name, ttlMs, fn);
  }
  const entry = new Entry(name, attempt, ttlMs);
  keep(entry);
  return fly(entry, fn);
}

// True where there was something to delete; a flight under way still ends for those that wait for it.
function remove(key) {
  touch();
  return entries.delete(`${key}`);
}

export const cache = Object.freeze({ load, delete: remove });
