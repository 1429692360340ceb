// What Node's crypto takes as arguments, and what it says of others. Values of user code become bytes of our own here,
// each read once: nothing of theirs runs while the host works.
import { inspect } from '../inspect.js';
import { invalidType, outOfRange, requireFunction, requireNumber } from '../web/argument_errors.js';

const VALUE_CHARS_MAX = 128; // Node's figure

export { invalidType, outOfRange, requireFunction, requireNumber };

export const coded = (Type, code, message) => Object.assign(new Type(message), { code });

export function invalidValue(name, value, reason = 'is invalid') {
  let shown = inspect(value);
  if (shown.length > VALUE_CHARS_MAX) shown = `${shown.slice(0, VALUE_CHARS_MAX)}...`;
  const kind = name.includes('.') ? 'property' : 'argument';
  return coded(TypeError, 'ERR_INVALID_ARG_VALUE', `The ${kind} '${name}' ${reason}. Received ${shown}`);
}

// Node says "property" of what has a path.
export function wrongType(name, expected, value) {
  const error = invalidType(name, expected, value);
  if (name.includes('.')) error.message = error.message.replace(`The "${name}" argument`, () => `The "${name}" property`);
  return error;
}

export function requireString(value, name) {
  if (typeof value !== 'string') throw wrongType(name, 'of type string', value);
}

export function requireObject(value, name) {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw wrongType(name, 'of type object', value);
}

export function requireInteger(value, name, min, max) {
  if (typeof value !== 'number') throw wrongType(name, 'of type number', value);
  if (!Number.isInteger(value)) throw outOfRange(name, 'an integer', value);
  if (value < min || value > max) throw outOfRange(name, `>= ${min} && <= ${max}`, value);
}

export const requireInt32 = (value, name, min = -(2 ** 31)) => requireInteger(value, name, min, 2 ** 31 - 1);
export const requireUint32 = (value, name) => requireInteger(value, name, 0, 2 ** 32 - 1);

export function requireOneOf(value, name, allowed) {
  if (!allowed.includes(value)) throw invalidValue(name, value, `must be one of: ${allowed.map((known) => (typeof known === 'string' ? `'${known}'` : String(known))).join(', ')}`);
}

const { get: bufferLength } = Object.getOwnPropertyDescriptor(ArrayBuffer.prototype, 'byteLength');
const { isView } = ArrayBuffer;
const { apply } = Reflect;

export function isArrayBuffer(value) {
  if (value === null || typeof value !== 'object') return false;
  try {
    apply(bufferLength, value, []);
    return true;
  } catch {
    return false;
  }
}

export { isView };
export const isBytes = (value) => isView(value) || isArrayBuffer(value);

// A view's own words, whatever user code has put over them.
const gettersOf = (prototype) => ['buffer', 'byteOffset', 'byteLength'].map((name) => Object.getOwnPropertyDescriptor(prototype, name).get);
const OF_ARRAY = gettersOf(Object.getPrototypeOf(Uint8Array.prototype));
const OF_VIEW = gettersOf(DataView.prototype);
const { get: tagOf } = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag);

export const arrayTag = (value) => apply(tagOf, value, []);

// The bytes of a view or an ArrayBuffer; those of a detached one are none.
export function viewed(value) {
  if (!isView(value)) return apply(bufferLength, value, []) === 0 ? new Uint8Array(0) : new Uint8Array(value);
  const [buffer, offset, length] = (arrayTag(value) === undefined ? OF_VIEW : OF_ARRAY).map((get) => () => apply(get, value, []));
  try {
    return new Uint8Array(buffer(), offset(), length());
  } catch {
    return new Uint8Array(0);
  }
}
export const copied = (value) => new Uint8Array(viewed(value));

export const VIEWS = 'an instance of Buffer, TypedArray, or DataView';
export const BUFFERS = 'an instance of ArrayBuffer, Buffer, TypedArray, or DataView';

// Text in an encoding that Node does not know is UTF-8.
const encoded = (text, encoding) => Buffer.from(text, Buffer.isEncoding(encoding) ? encoding : 'utf8');

function requireWholeBytes(text, encoding) {
  if (typeof encoding !== 'string' || text.length % 2 === 0 || encoding.toLowerCase() !== 'hex') return;
  throw invalidValue('encoding', encoding, `is invalid for data of length ${text.length}`);
}

// What `update` takes: always bytes that user code has no hold on.
export function dataBytes(data, encoding, name = 'data', expected = `of type string or ${VIEWS}`) {
  if (typeof data === 'string') {
    requireWholeBytes(data, encoding);
    return encoded(data, encoding);
  }
  if (!isView(data)) throw wrongType(name, expected, data);
  return copied(data);
}

// What most other methods take.
export function sourceBytes(value, name, encoding) {
  if (isBytes(value)) return copied(value);
  if (typeof value !== 'string') throw wrongType(name, `of type string or ${BUFFERS}`, value);
  return Buffer.from(value, encoding === 'buffer' ? 'utf8' : encoding);
}

// A result in the encoding that was asked for, or as a Buffer.
export const shown = (bytes, encoding) => (encoding && encoding !== 'buffer' ? bytes.toString(encoding) : bytes);
