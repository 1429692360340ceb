// cache.load(key, ttlMs, fn) and cache.delete(key): values kept between the events of one isolate.
import { atEnd, state, suspend, touch } from './host.js';

// Keys may come from events; past this many the one loaded first goes.
const KEYS_MAX = 1000;

const entries = new Map();
const now = Date.now;

// One flight or its value. The flight belongs to the attempt that began it: its requests and lines are that attempt's,
// and it ends with it. Those that wait for it then fly themselves, the first of them for the others.
class Entry {
  constructor(key, owner, ttlMs) {
    this.key = key;
    this.owner = owner;
    this.ttlMs = Number(ttlMs) || 0;
    this.expires = Infinity;
    this.state = 'flying';
    this.value = undefined;
    this.waiting = new Set();
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
    if (state !== 'landed' && entries.get(this.key) === this) entries.delete(this.key);
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
  entry.waiting.add(() => {
    if (entry.state === 'landed') turn.resolve(entry.value);
    else if (entry.state === 'failed') turn.reject(entry.value);
    else turn.resume(() => load(entry.key, ttlMs, fn));
  });
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
    if (attempt !== null) return join(known, ttlMs, fn);
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
