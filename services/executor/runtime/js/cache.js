// cache.load(key, ttlMs, fn) and cache.delete(key): values kept between the events of one isolate.
import { touch } from './host.js';

// Keys may come from events; past this many the one loaded first goes.
const KEYS_MAX = 1000;

const entries = new Map();
const now = Date.now;

function forget(key, entry) {
  if (entries.get(key) === entry) entries.delete(key);
}

// One flight per key: callers that come while it is under way share it. A failure is never kept.
function load(key, ttlMs, fn) {
  touch();
  if (typeof fn !== 'function') throw new TypeError('cache.load(key, ttlMs, fn): fn must be a function');
  const known = entries.get(`${key}`);
  if (known && now() < known.expires) return known.promise;
  const entry = { expires: Infinity, promise: undefined };
  entries.delete(`${key}`);
  entries.set(`${key}`, entry);
  if (entries.size > KEYS_MAX) entries.delete(entries.keys().next().value);
  entry.promise = (async () => fn())().then(
    (value) => {
      entry.expires = now() + (Number(ttlMs) || 0);
      return value;
    },
    (error) => {
      forget(`${key}`, entry);
      throw error;
    },
  );
  return entry.promise;
}

// True where there was something to delete; a flight under way ends for its callers, but is not kept.
function remove(key) {
  touch();
  return entries.delete(`${key}`);
}

export const cache = Object.freeze({ load, delete: remove });
