// The part of Node's `stream` that node-fetch, form-data and xml rest on: bodies here are whole in memory, so a stream is
// an emitter over a list of chunks, without back-pressure.
export class EventEmitter {
  on(name, listener) {
    // Made on first use: form-data's classes inherit from Stream without calling its constructor.
    const listeners = (this._events ??= Object.create(null));
    (listeners[name] ??= []).push(listener);
    return this;
  }
  once(name, listener) {
    const wrapper = (...args) => {
      this.removeListener(name, wrapper);
      listener.apply(this, args);
    };
    wrapper.listener = listener;
    return this.on(name, wrapper);
  }
  removeListener(name, listener) {
    const listeners = this._events?.[name];
    if (listeners) this._events[name] = listeners.filter((known) => known !== listener && known.listener !== listener);
    return this;
  }
  removeAllListeners(name) {
    if (this._events) {
      if (name === undefined) this._events = Object.create(null);
      else delete this._events[name];
    }
    return this;
  }
  listenerCount(name) {
    return this._events?.[name]?.length ?? 0;
  }
  emit(name, ...args) {
    const listeners = this._events?.[name];
    if (!listeners?.length) {
      if (name === 'error') throw args[0];
      return false;
    }
    for (const listener of [...listeners]) listener.apply(this, args);
    return true;
  }
}
EventEmitter.prototype.addListener = EventEmitter.prototype.on;
EventEmitter.prototype.off = EventEmitter.prototype.removeListener;

export class Stream extends EventEmitter {
  pipe(destination) {
    this.on('data', (chunk) => destination.write(chunk));
    this.on('end', () => destination.end());
    destination.emit?.('pipe', this);
    return destination;
  }
}

export class Readable extends Stream {
  #chunks = [];
  #ended = false;
  #flowing = false;
  #finished = false;
  readable = true;

  push(chunk) {
    if (chunk === null) this.#ended = true;
    else this.#chunks.push(chunk);
    if (this.#flowing) this.#flush();
    return true;
  }
  on(name, listener) {
    super.on(name, listener);
    if (name === 'data') this.resume();
    return this;
  }
  resume() {
    if (!this.#flowing) {
      this.#flowing = true;
      // Listeners added in the same turn as 'data' must see every event, as in Node.
      Promise.resolve().then(() => this.#flush());
    }
    return this;
  }
  pause() {
    this.#flowing = false;
    return this;
  }
  destroy(error) {
    if (this.#finished) return this;
    this.#finished = true;
    this.#chunks = [];
    if (error) this.emit('error', error);
    return this;
  }
  #flush() {
    while (this.#flowing && this.#chunks.length) this.emit('data', this.#chunks.shift());
    if (this.#flowing && this.#ended && !this.#finished) {
      this.#finished = true;
      this.readable = false;
      this.emit('end');
      this.emit('close');
    }
  }
  async *[Symbol.asyncIterator]() {
    while (this.#chunks.length) yield this.#chunks.shift();
    this.#finished = true;
  }
}

export class PassThrough extends Readable {
  writable = true;
  write(chunk) {
    return this.push(chunk);
  }
  end(chunk) {
    if (chunk !== undefined) this.push(chunk);
    this.push(null);
    return this;
  }
}

Stream.Stream = Stream;
Stream.Readable = Readable;
Stream.PassThrough = PassThrough;
Stream.EventEmitter = EventEmitter;
export default Stream;
