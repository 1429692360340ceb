// Node's `http` client for bundled packages, over the same host request as `fetch`: no sockets, no agents' pools, bodies
// whole in memory. The broker sets Host, Content-Length and Connection, and bounds sizes and times.
import { STATUS_CODES } from 'http-status-codes';
import { clearTimer, setTimer } from '../host.js';
import { hostFetch } from '../requests.js';
import { Buffer } from '../web/buffer.js';
import { markNetworkFailure } from '../web/network_failures.js';
import { joinedHeaders } from '../web/response_headers.js';
import { EventEmitter, Readable, Writable } from './stream.js';

const { toBase64 } = Uint8Array.prototype;
const { fromBase64 } = Uint8Array;
const { apply } = Reflect;
const later = (run) => void Promise.resolve().then(run);
// Node frames every other method as one with a body.
const BODYLESS = new Set(['CONNECT', 'DELETE', 'GET', 'HEAD', 'OPTIONS', 'TRACE']);

// As Node has them: https://nodejs.org/api/errors.html#common-system-errors
export const ERRNO = { EPIPE: -32, ENETUNREACH: -101, ECONNRESET: -104, ETIMEDOUT: -110, ECONNREFUSED: -111, EHOSTUNREACH: -113, EAI_AGAIN: -3001, ENOTFOUND: -3008 };
const INVALID_PATH = /[^\u0021-\u00ff]/;
const INVALID_NAME = /[^^_`a-zA-Z\-0-9!#$%&'*+.|~]/;
const INVALID_VALUE = /[^\t\x20-\x7e\x80-\xff]/;

const coded = (type, code, message) => Object.assign(new type(message), { code });

// What the broker refused or could not reach, as an error of Node's sockets.
function socketError(rejection) {
  const error = new Error(rejection.message);
  const [, syscall, , host, port] = /^(connect|getaddrinfo|read|write) (\w+)(?: ([^ ]*?)(?::(\d+))?)?$/.exec(rejection.message) ?? [];
  error.code = rejection.code ?? 'ECONNRESET';
  if (syscall) Object.assign(error, { errno: ERRNO[rejection.code], syscall });
  if (syscall === 'connect' && port) Object.assign(error, { address: host, port: Number(port) });
  if (syscall === 'getaddrinfo') error.hostname = host;
  if (rejection.network) markNetworkFailure(error);
  return error;
}

export class IncomingMessage extends Readable {
  constructor(answer, request) {
    super();
    this.httpVersion = '1.1';
    this.statusCode = answer.status;
    this.statusMessage = answer.statusText;
    this.headers = { ...joinedHeaders(answer.headers) };
    this.rawHeaders = answer.headers.flat();
    this.complete = true;
    this.req = request;
    const bytes = answer.body ? apply(fromBase64, Uint8Array, [answer.body]) : new Uint8Array();
    if (bytes.length) this.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
    this.push(null);
  }
  setTimeout() {
    return this;
  }
}

// Node's ways to say where to: an address as text, a URL, options, or one of the first two and options.
function optionsOf(protocol, input, options) {
  if (typeof input !== 'string' && !(typeof input?.href === 'string' && 'searchParams' in input)) return { protocol, ...input };
  const url = new URL(input);
  const { hostname, port, pathname, search, username, password } = url;
  const auth = username || password ? { auth: `${decodeURIComponent(username)}:${decodeURIComponent(password)}` } : {};
  return { protocol: url.protocol, hostname, port, path: pathname + search, ...auth, ...options };
}

function urlOf({ protocol, hostname, host, port, path }) {
  const name = hostname || host || 'localhost';
  return `${protocol}//${name.includes(':') && !name.startsWith('[') ? `[${name}]` : name}${port ? `:${port}` : ''}${path}`;
}

export class ClientRequest extends Writable {
  #headers = new Map();
  #chunks = [];
  #sent = null;
  #timeout = 0;
  #timer = 0;

  constructor(protocol, input, options, callback) {
    super();
    const wanted = optionsOf(protocol, input, typeof options === 'function' ? undefined : options);
    const listener = typeof options === 'function' ? options : callback;
    if (wanted.protocol !== protocol) {
      throw coded(TypeError, 'ERR_INVALID_PROTOCOL', `Protocol "${wanted.protocol}" not supported. Expected "${protocol}"`);
    }
    this.method = `${wanted.method ?? 'GET'}`.toUpperCase();
    this.path = wanted.path || '/';
    if (INVALID_PATH.test(this.path)) throw coded(TypeError, 'ERR_UNESCAPED_CHARACTERS', 'Request path contains unescaped characters');
    this.protocol = protocol;
    this.host = wanted.hostname || wanted.host || 'localhost';
    this.url = urlOf({ ...wanted, path: this.path });
    this.aborted = false;
    for (const [name, value] of Object.entries(wanted.headers ?? {})) this.setHeader(name, value);
    if (wanted.auth && !this.getHeader('authorization')) this.setHeader('Authorization', `Basic ${Buffer.from(wanted.auth).toString('base64')}`);
    if (listener) this.once('response', listener);
    if (wanted.timeout) this.setTimeout(wanted.timeout);
    later(() => this.#open());
  }

  // What Node tells of a socket: here it is connected from the start.
  #open() {
    const socket = new EventEmitter();
    this.socket = Object.assign(socket, { connecting: false, setKeepAlive() {}, setNoDelay() {}, setTimeout() {} });
    this.emit('socket', socket);
    if (this.getHeader('expect')) this.emit('continue');
  }

  setHeader(name, value) {
    if (typeof name !== 'string' || name === '' || INVALID_NAME.test(name)) {
      throw coded(TypeError, 'ERR_INVALID_HTTP_TOKEN', `Header name must be a valid HTTP token ["${name}"]`);
    }
    if (value === undefined) throw coded(TypeError, 'ERR_HTTP_INVALID_HEADER_VALUE', `Invalid value "undefined" for header "${name}"`);
    for (const one of [value].flat()) {
      if (INVALID_VALUE.test(one)) throw coded(TypeError, 'ERR_INVALID_CHAR', `Invalid character in header content ["${name}"]`);
    }
    this.#headers.set(name.toLowerCase(), [name, value]);
    return this;
  }
  getHeader(name) {
    return this.#headers.get(name.toLowerCase())?.[1];
  }
  getHeaders() {
    return Object.fromEntries([...this.#headers].map(([key, [, value]]) => [key, value]));
  }
  hasHeader(name) {
    return this.#headers.has(name.toLowerCase());
  }
  removeHeader(name) {
    this.#headers.delete(name.toLowerCase());
  }
  flushHeaders() {}
  setNoDelay() {}
  setSocketKeepAlive() {}

  setTimeout(ms, callback) {
    this.#timeout = ms;
    if (callback) this.once('timeout', callback);
    if (this.#sent) this.#watch();
    return this;
  }
  #watch() {
    clearTimer(this.#timer);
    if (this.#timeout > 0) this.#timer = setTimer(() => this.emit('timeout'), this.#timeout, false, []);
  }

  _write(chunk, _, done) {
    this.#chunks.push(Buffer.from(chunk));
    done();
  }
  _final(done) {
    done();
    if (!this.aborted) this.#send();
  }

  #wanted() {
    const headers = [...this.#headers.values()].flatMap(([name, value]) => [value].flat().map((one) => [name, `${one}`]));
    const framed = this.#chunks.length > 0 || this.hasHeader('content-length') || !BODYLESS.has(this.method);
    const body = framed ? apply(toBase64, Buffer.concat(this.#chunks), []) : null;
    this.#chunks = [];
    // Answers are given as they came: redirects, codings and all.
    const { method, url } = this;
    return { method, url, headers, body, redirect: 'none', follow: null, timeout_ms: null, size: null, compress: false, plain: true };
  }

  #send() {
    this.#sent = hostFetch(this.#wanted());
    this.#watch();
    this.#sent.promise.then(
      (answer) => this.#settle(() => this.#respond(answer)),
      (rejection) => this.#settle(() => this.emit('error', socketError(rejection ?? {}))),
    );
  }
  #settle(tell) {
    clearTimer(this.#timer);
    if (!this.aborted) tell();
  }
  #respond(answer) {
    const message = new IncomingMessage(answer, this);
    this.res = message;
    message.once('end', () => this.emit('close'));
    // Nobody would ever read it: Node drops it then.
    if (!this.emit('response', message)) message.resume();
  }

  abort() {
    if (this.aborted) return;
    this.aborted = true;
    this.emit('abort');
    this.destroy();
  }
  destroy(error) {
    if (this.destroyed) return this;
    Object.defineProperty(this, 'destroyed', { value: true });
    this.aborted = true;
    clearTimer(this.#timer);
    if (!this.res) this.#sent?.abort();
    const reason = error ?? (this.res ? undefined : coded(Error, 'ECONNRESET', 'socket hang up'));
    later(() => {
      if (reason && this.listenerCount('error')) this.emit('error', reason);
      this.emit('close');
    });
    return this;
  }
}

// Connections are the broker's; of an agent only its options are left.
export class Agent extends EventEmitter {
  constructor(options = {}) {
    super();
    this.options = { ...options };
    this.maxSockets = options.maxSockets ?? Infinity;
  }
  destroy() {}
}

const module = (protocol) => {
  const request = (input, options, callback) => new ClientRequest(protocol, input, options, callback);
  const get = (input, options, callback) => request(input, options, callback).end();
  return { request, get, Agent, ClientRequest, IncomingMessage, STATUS_CODES, globalAgent: new Agent() };
};

export const http = module('http:');
export const https = module('https:');
