// Calls of the host's operations (services/executor/runtime/crypto), and callbacks that come later.
import { enqueueTurn, hostSync, primordials, touch } from '../host.js';
import { coded } from './arguments.js';

// The numbers are those of OPS.
export const HASH = 16;
export const HMAC = 17;
export const RANDOM = 18;
export const CIPHER_OPEN = 19;
export const CIPHER_UPDATE = 20;
export const CIPHER_FINAL = 21;
export const KEY_IMPORT = 22;
export const KEY_EXPORT = 23;
export const KEY_GENERATE = 24;
export const SIGN = 25;
export const VERIFY = 26;
export const RSA_CRYPT = 27;
export const PBKDF2 = 28;
export const SCRYPT = 29;
export const HKDF = 30;
export const AGREE = 31;
export const ECDH = 32;

const { isArray } = Array;
const TYPES = { __proto__: null, Error, TypeError, RangeError };
const OUT_OF_MEMORY = 'out of memory';

export const EMPTY = new Uint8Array(0);

function written(frame, at, number) {
  frame[at] = number;
  frame[at + 1] = number >>> 8;
  frame[at + 2] = number >>> 16;
  frame[at + 3] = number >>> 24;
}

export function number(value) {
  const bytes = new Uint8Array(4);
  written(bytes, 0, value);
  return bytes;
}

export const json = (value) => Buffer.from(JSON.stringify(value));

function sizeOf(part) {
  if (!isArray(part)) return part.length;
  let size = 0;
  for (let index = 0; index < part.length; index += 1) size += part[index].length;
  return size;
}

// Each part is bytes, or an array of those that the host gets as one.
function framed(parts) {
  let size = 0;
  for (let index = 0; index < parts.length; index += 1) size += 4 + sizeOf(parts[index]);
  const frame = new Uint8Array(size);
  let at = 0;
  for (let index = 0; index < parts.length; index += 1) {
    const part = parts[index];
    written(frame, at, sizeOf(part));
    at += 4;
    const chunks = isArray(part) ? part : [part];
    for (let which = 0; which < chunks.length; which += 1) {
      frame.set(chunks[which], at);
      at += chunks[which].length;
    }
  }
  return frame;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function errorOf(message) {
  if (message === OUT_OF_MEMORY) return new RangeError('Array buffer allocation failed');
  const told = parsed(message);
  if (told === null || typeof told !== 'object') return coded(Error, 'ERR_CRYPTO_OPERATION_FAILED', message || 'Operation failed');
  const error = new TYPES[told.name](told.message);
  if (told.library) Object.assign(error, { library: told.library, reason: told.reason });
  if (told.code) error.code = told.code;
  return error;
}

// The answer as a Buffer.
export function call(operation, ...parts) {
  const frame = framed(parts);
  let answer;
  try {
    answer = hostSync(operation, frame);
  } catch (error) {
    throw errorOf(error.message);
  }
  return Buffer.from(answer.buffer, answer.byteOffset, answer.length);
}

// An answer of several fields.
export function fields(answer) {
  const found = [];
  for (let at = 0; at < answer.length; ) {
    const size = answer.readUInt32LE(at);
    found.push(answer.subarray(at + 4, at + 4 + size));
    at += 4 + size;
  }
  return found;
}

const settled = primordials.Promise.resolve();

// Calls back in a turn of the same attempt, as a timer would: what the callback throws fails the attempt.
export function later(callback, ...args) {
  const run = () => primordials.apply(callback, undefined, args);
  const attempt = touch();
  if (attempt === null) primordials.promiseThen(settled, run);
  else enqueueTurn(attempt, run);
}

// Node's asynchronous forms do their work on another thread; here it is done at once, and told later.
export function callBack(callback, work) {
  let result;
  try {
    result = work();
  } catch (error) {
    // Node's jobs on other threads leave these out.
    if (error.library !== undefined) for (const name of ['library', 'reason', 'code']) delete error[name];
    later(callback, error);
    return;
  }
  later(callback, null, result);
}
