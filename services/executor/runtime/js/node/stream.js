// The part of Node's `events` and `stream` that bundled packages rest on: bodies here are whole in memory, so streams keep
// order and events but no back-pressure. Constructors are functions, since packages of old call them on their own objects,
// or inherit without calling them at all: hence state is made at its first use.
import { load } from '../modules.js';

const buffer = () => load('web/buffer.js').Buffer;
const later = (run) => void Promise.resolve().then(run);
const CHUNK_BYTES = 64 * 1024; // what Node asks of `_read`

const inherit = (type, parent) => {
  Object.setPrototypeOf(type, parent);
  type.prototype = Object.create(parent.prototype, { constructor: { value: type, writable: true, configurable: true } });
};
const methods = (type, members) => {
  for (const key of Reflect.ownKeys(members)) Object.defineProperty(type.prototype, key, Object.getOwnPropertyDescriptor(members, key));
};
function stateOf(stream, key, make) {
  if (!Object.hasOwn(stream, key)) Object.defineProperty(stream, key, { value: make(), configurable: true });
  return stream[key];
}

// ---- events ----------------------------------------------------------------------------------------------------

export function EventEmitter() {}
methods(EventEmitter, {
  on(name, listener) {
    const listeners = (this._events ??= Object.create(null));
    if (listeners.newListener) this.emit('newListener', name, listener.listener ?? listener);
    (listeners[name] ??= []).push(listener);
    return this;
  },
  prependListener(name, listener) {
    this.on(name, listener);
    this._events[name].unshift(this._events[name].pop());
    return this;
  },
  once(name, listener) {
    const wrapper = (...args) => {
      this.removeListener(name, wrapper);
      return listener.apply(this, args);
    };
    wrapper.listener = listener;
    return this.on(name, wrapper);
  },
  removeListener(name, listener) {
    const listeners = this._events?.[name];
    const at = listeners ? listeners.findLastIndex((known) => known === listener || known.listener === listener) : -1;
    // A new list: the old one may be under way in `emit`.
    if (at !== -1) this._events[name] = listeners.toSpliced(at, 1);
    return this;
  },
  removeAllListeners(name) {
    if (this._events) {
      if (name === undefined) this._events = Object.create(null);
      else delete this._events[name];
    }
    return this;
  },
  listeners(name) {
    return (this._events?.[name] ?? []).map((known) => known.listener ?? known);
  },
  listenerCount(name) {
    return this._events?.[name]?.length ?? 0;
  },
  setMaxListeners() {
    return this;
  },
  emit(name, ...args) {
    const listeners = this._events?.[name];
    if (!listeners?.length) {
      if (name === 'error') throw args[0];
      return false;
    }
    for (const listener of [...listeners]) listener.apply(this, args);
    return true;
  },
});
methods(EventEmitter, { addListener: EventEmitter.prototype.on, off: EventEmitter.prototype.removeListener });

// ---- streams ---------------------------------------------------------------------------------------------------

export function Stream() {}
inherit(Stream, EventEmitter);
methods(Stream, {
  pipe(destination, options) {
    const pipes = stateOf(this, '_pipes', () => new Map());
    const write = (chunk) => void destination.write(chunk);
    const end = () => options?.end === false || destination.end();
    pipes.set(destination, () => this.removeListener('data', write).removeListener('end', end));
    this.on('end', end).on('data', write);
    destination.emit?.('pipe', this);
    return destination;
  },
  unpipe(destination) {
    for (const [piped, undo] of stateOf(this, '_pipes', () => new Map())) {
      if (destination === undefined || piped === destination) undo();
    }
    return this;
  },
});

const reading = (stream) =>
  stateOf(stream, '_readableState', () => ({
    chunks: [],
    ended: false,
    endEmitted: false,
    flowing: null,
    listening: false,
    scheduled: false,
    asking: false,
    encoding: null,
  }));

export function Readable(options) {
  if (typeof options?.read === 'function') this._read = options.read;
}
inherit(Readable, Stream);

// Asks for more where there is none; a `_read` that answers at once may be asked again.
function ask(stream, state) {
  if (state.asking || state.ended || state.chunks.length || typeof stream._read !== 'function') return;
  state.asking = true;
  stream._read(CHUNK_BYTES);
  state.asking = false;
}

function finishReading(stream, state) {
  if (!state.ended || state.chunks.length || state.endEmitted) return;
  state.endEmitted = true;
  stream.emit('end');
  stream.emit('close');
}

function flow(stream, state) {
  while (state.flowing) {
    ask(stream, state);
    if (!state.chunks.length) break;
    stream.emit('data', state.chunks.shift());
  }
  if (state.flowing) finishReading(stream, state);
}

// Tells of new data once for all that comes in one go.
function tell(stream, state) {
  if (state.scheduled) return;
  state.scheduled = true;
  later(() => {
    state.scheduled = false;
    if (state.flowing) flow(stream, state);
    else if (state.listening && !state.endEmitted && (state.chunks.length || state.ended)) stream.emit('readable');
  });
}

// The first `size` bytes of the chunks, or all of them.
function taken(state, size) {
  const all = typeof state.chunks[0] === 'string' ? state.chunks.join('') : buffer().concat(state.chunks);
  state.chunks = size < all.length ? [all.slice(size)] : [];
  return size < all.length ? all.slice(0, size) : all;
}

methods(Readable, {
  get readable() {
    return !reading(this).endEmitted && !this.destroyed;
  },
  get readableEnded() {
    return reading(this).endEmitted;
  },
  get readableFlowing() {
    return reading(this).flowing;
  },
  get readableLength() {
    return reading(this).chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  },
  push(chunk) {
    const state = reading(this);
    if (chunk === null) state.ended = true;
    else if (chunk.length) state.chunks.push(state.encoding && typeof chunk !== 'string' ? chunk.toString(state.encoding) : chunk);
    if (state.asking) return true;
    if (state.flowing && !state.scheduled) flow(this, state);
    else tell(this, state);
    return true;
  },
  read(size) {
    const state = reading(this);
    ask(this, state);
    const length = this.readableLength;
    const enough = size === undefined || size <= length || state.ended;
    const chunk = length && enough && size !== 0 ? taken(state, size ?? length) : null;
    if (state.ended && !state.chunks.length) later(() => finishReading(this, state));
    return chunk;
  },
  on(name, listener) {
    const state = reading(this);
    EventEmitter.prototype.on.call(this, name, listener);
    if (name === 'data' && state.flowing !== false) this.resume();
    if (name === 'readable') {
      state.listening = true;
      state.flowing = false;
      later(() => {
        ask(this, state);
        tell(this, state);
      });
    }
    return this;
  },
  resume() {
    const state = reading(this);
    if (!state.flowing) {
      state.flowing = true;
      // Listeners added in the same turn as 'data' must see every event, as in Node.
      tell(this, state);
    }
    return this;
  },
  pause() {
    reading(this).flowing = false;
    return this;
  },
  isPaused() {
    return reading(this).flowing === false;
  },
  setEncoding(encoding) {
    const state = reading(this);
    state.encoding = encoding || 'utf8';
    state.chunks = state.chunks.map((chunk) => (typeof chunk === 'string' ? chunk : chunk.toString(state.encoding)));
    return this;
  },
  destroy(error) {
    const state = reading(this);
    if (this.destroyed || state.endEmitted) return this;
    Object.defineProperty(this, 'destroyed', { value: true, configurable: true });
    state.endEmitted = true;
    state.chunks = [];
    if (error) this.emit('error', error);
    this.emit('close');
    return this;
  },
  async *[Symbol.asyncIterator]() {
    const failed = new Promise((_, reject) => this.once('error', reject));
    failed.catch(() => {});
    for (;;) {
      const next = new Promise((resolve) => this.once('readable', resolve).once('end', resolve));
      const chunk = this.read();
      if (chunk !== null) yield chunk;
      else if (reading(this).endEmitted) return;
      else await Promise.race([next, failed]);
    }
  },
});
methods(Readable, { addListener: Readable.prototype.on, destroyed: false });

const writing = (stream) =>
  stateOf(stream, '_writableState', () => ({ queue: [], busy: false, ending: false, finished: false }));

export function Writable(options) {
  if (typeof options?.write === 'function') this._write = options.write;
  if (typeof options?.final === 'function') this._final = options.final;
}
inherit(Writable, Stream);

function finishWriting(stream, state) {
  if (!state.ending || state.finished) return;
  state.finished = true;
  const finish = (error) => {
    if (error) return void stream.emit('error', error);
    later(() => stream.emit('finish'));
  };
  if (typeof stream._final === 'function') stream._final(finish);
  else finish();
}

function drain(stream, state) {
  while (!state.busy && state.queue.length) {
    const [chunk, encoding, callback] = state.queue.shift();
    state.busy = true;
    stream._write(chunk, encoding, (error) => {
      state.busy = false;
      if (error) return void stream.emit('error', error);
      callback?.();
      drain(stream, state);
    });
  }
  if (!state.busy) finishWriting(stream, state);
}

const writable = {
  get writable() {
    return !writing(this).ending && !this.destroyed;
  },
  write(chunk, encoding, callback) {
    if (typeof encoding === 'function') [encoding, callback] = [undefined, encoding];
    const state = writing(this);
    const bytes = typeof chunk === 'string' ? buffer().from(chunk, encoding) : chunk;
    state.queue.push([bytes, 'buffer', callback]);
    drain(this, state);
    return true;
  },
  end(chunk, encoding, callback) {
    if (typeof chunk === 'function') [chunk, callback] = [undefined, chunk];
    if (typeof encoding === 'function') [encoding, callback] = [undefined, encoding];
    if (chunk !== undefined && chunk !== null) this.write(chunk, encoding);
    if (callback) this.once('finish', callback);
    const state = writing(this);
    state.ending = true;
    drain(this, state);
    return this;
  },
};
methods(Writable, writable);
methods(Writable, { destroy: Readable.prototype.destroy, destroyed: false });

export function Duplex(options) {
  Readable.call(this, options);
  Writable.call(this, options);
}
inherit(Duplex, Readable);
methods(Duplex, writable);

export function Transform(options) {
  Duplex.call(this, options);
  if (typeof options?.transform === 'function') this._transform = options.transform;
  if (typeof options?.flush === 'function') this._flush = options.flush;
}
inherit(Transform, Duplex);
methods(Transform, {
  _write(chunk, encoding, callback) {
    this._transform(chunk, encoding, (error, out) => {
      if (out !== null && out !== undefined) this.push(out);
      callback(error);
    });
  },
  _final(callback) {
    const end = (error, out) => {
      if (out !== null && out !== undefined) this.push(out);
      this.push(null);
      callback(error);
    };
    if (typeof this._flush === 'function') this._flush(end);
    else end();
  },
});

export function PassThrough(options) {
  Transform.call(this, options);
}
inherit(PassThrough, Transform);
methods(PassThrough, {
  _transform(chunk, _, callback) {
    callback(null, chunk);
  },
});

Object.assign(Stream, { Stream, Readable, Writable, Duplex, Transform, PassThrough, EventEmitter });
export default Stream;
