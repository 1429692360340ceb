// As much of a stream as Hash, Hmac, Cipheriv, Decipheriv, Sign and Verify are in Node: `write`, `end`, `read`, events, `pipe`.
import { load } from '../modules.js';
import { later } from './calls.js';

const states = new WeakMap();

class State {
  constructor(owner, { transform, flush }) {
    this.owner = owner;
    this.transform = transform;
    this.flush = flush;
    this.emitter = new (load('node/stream.js').EventEmitter)();
    this.chunks = [];
    this.encoding = null;
    this.flowing = false;
    this.ended = false;
    this.finished = false;
  }

  push(chunk) {
    if (!chunk?.length) return;
    this.chunks.push(this.encoding === null ? chunk : chunk.toString(this.encoding));
    later(() => this.tell());
  }

  run(work) {
    if (this.finished) return;
    try {
      this.push(work());
    } catch (error) {
      this.finished = true;
      later(() => this.emitter.emit('error', error));
    }
  }

  // What is there goes to whoever listens; the end comes once, after the last of it.
  tell() {
    if (!this.flowing) {
      if (this.chunks.length || this.ended) this.emitter.emit('readable');
      return;
    }
    while (this.flowing && this.chunks.length) this.emitter.emit('data', this.chunks.shift());
    this.finish();
  }

  finish() {
    if (!this.ended || this.finished || this.chunks.length) return;
    this.finished = true;
    this.emitter.emit('end');
    this.emitter.emit('close');
  }

  read() {
    if (!this.chunks.length) return null;
    const all = this.encoding === null ? Buffer.concat(this.chunks) : this.chunks.join('');
    this.chunks = [];
    later(() => this.finish());
    return all;
  }

  close() {
    this.run(() => this.flush());
    this.ended = true;
    later(() => {
      if (this.finished) return;
      this.emitter.emit('finish');
      this.tell();
    });
  }
}

// `parts` answers {transform(chunk, encoding), flush()}, which give bytes or nothing.
function stateOf(owner) {
  let state = states.get(owner);
  if (state === undefined) states.set(owner, (state = new State(owner, owner[PARTS]())));
  return state;
}

export const PARTS = Symbol('parts');

export class Streamed {
  write(chunk, encoding, callback) {
    const state = stateOf(this);
    if (typeof encoding === 'function') [encoding, callback] = [undefined, encoding];
    state.run(() => state.transform(chunk, encoding));
    if (typeof callback === 'function') later(callback, null);
    return true;
  }
  end(chunk, encoding, callback) {
    if (typeof chunk === 'function') [chunk, callback] = [undefined, chunk];
    if (typeof encoding === 'function') [encoding, callback] = [undefined, encoding];
    if (chunk !== undefined && chunk !== null) this.write(chunk, encoding);
    const state = stateOf(this);
    if (!state.ended) state.close();
    if (typeof callback === 'function') later(callback);
    return this;
  }
  read() {
    return stateOf(this).read();
  }
  setEncoding(encoding) {
    stateOf(this).encoding = encoding;
    return this;
  }
  on(name, listener) {
    const state = stateOf(this);
    state.emitter.on(name, listener);
    if (name === 'data') this.resume();
    else if (name === 'readable' && state.chunks.length) later(() => state.tell());
    return this;
  }
  once(name, listener) {
    const state = stateOf(this);
    state.emitter.once(name, listener);
    if (name === 'data') this.resume();
    else if (name === 'readable' && state.chunks.length) later(() => state.tell());
    return this;
  }
  removeListener(name, listener) {
    stateOf(this).emitter.removeListener(name, listener);
    return this;
  }
  emit(name, ...args) {
    return stateOf(this).emitter.emit(name, ...args);
  }
  resume() {
    const state = stateOf(this);
    if (!state.flowing) {
      state.flowing = true;
      later(() => state.tell());
    }
    return this;
  }
  pause() {
    stateOf(this).flowing = false;
    return this;
  }
  pipe(destination) {
    this.on('data', (chunk) => destination.write(chunk));
    this.on('end', () => destination.end());
    return destination;
  }
  async *[Symbol.asyncIterator]() {
    const state = stateOf(this);
    while (!state.ended && !state.finished) await new Promise((resolve) => later(resolve));
    const all = state.read();
    if (all !== null) yield all;
  }
}
Streamed.prototype.addListener = Streamed.prototype.on;
Streamed.prototype.off = Streamed.prototype.removeListener;
