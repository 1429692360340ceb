// Random bytes and numbers, and comparison in constant time.
import { DOMException } from '../web/dom_exception.js';
import { arrayTag, BUFFERS, coded, invalidType, isArrayBuffer, isBytes, isView, outOfRange, requireFunction, requireNumber, requireObject, viewed, wrongType } from './arguments.js';
import { call, later, number, RANDOM } from './calls.js';

const CALL_BYTES_MAX = 1 << 20; // what the host gives at a time
const BYTES_MAX = 2 ** 31 - 1;
const VALUES_BYTES_MAX = 65536;
const RANGE_MAX = 2 ** 48 - 1;

function fill(bytes) {
  for (let at = 0; at < bytes.length; at += CALL_BYTES_MAX) {
    bytes.set(call(RANDOM, number(Math.min(CALL_BYTES_MAX, bytes.length - at))), at);
  }
}

function requireSize(size, elementBytes, offset, length) {
  requireNumber(size, 'size');
  const bytes = size * elementBytes;
  if (!(bytes >= 0 && bytes <= BYTES_MAX)) throw outOfRange('size', `>= 0 && <= ${BYTES_MAX}`, bytes);
  if (bytes + offset > length) throw outOfRange('size + offset', `<= ${length}`, bytes + offset);
  return bytes >>> 0;
}

function requireOffset(offset, elementBytes, length) {
  requireNumber(offset, 'offset');
  const bytes = offset * elementBytes;
  const max = Math.min(length, BYTES_MAX);
  if (!(bytes >= 0 && bytes <= max)) throw outOfRange('offset', `>= 0 && <= ${max}`, bytes);
  return bytes >>> 0;
}

export function randomBytes(size, callback) {
  const length = requireSize(size, 1, 0, Infinity);
  if (callback !== undefined) requireFunction(callback, 'callback');
  const bytes = Buffer.alloc(length);
  fill(bytes);
  if (callback === undefined) return bytes;
  later(callback, null, bytes);
  return undefined;
}

function requireTarget(target) {
  if (!isBytes(target)) throw invalidType('buf', 'an instance of ArrayBuffer or ArrayBufferView', target);
}

function fillPart(target, offset, size) {
  const bytes = viewed(target);
  const elementBytes = target.BYTES_PER_ELEMENT || 1;
  const from = requireOffset(offset, elementBytes, bytes.length);
  const length = size === undefined ? bytes.length - from : requireSize(size, elementBytes, from, bytes.length);
  fill(bytes.subarray(from, from + length));
  return target;
}

export function randomFillSync(target, offset = 0, size = undefined) {
  requireTarget(target);
  return fillPart(target, offset, size);
}

export function randomFill(target, offset, size, callback) {
  requireTarget(target);
  if (typeof offset === 'function') [offset, size, callback] = [0, target.length, offset];
  else if (typeof size === 'function') [size, callback] = [target.length - offset, size];
  else requireFunction(callback, 'callback');
  fillPart(target, offset, size);
  later(callback, null, target);
}

// Unbiased: what lies beyond the last whole multiple of the range is drawn again.
function drawn(range) {
  const limit = RANGE_MAX - (RANGE_MAX % range);
  for (;;) {
    const value = call(RANDOM, number(6)).readUIntBE(0, 6);
    if (value < limit) return value % range;
  }
}

export function randomInt(min, max, callback) {
  const withoutMin = max === undefined || typeof max === 'function';
  if (withoutMin) [min, max, callback] = [0, min, max];
  if (callback !== undefined) requireFunction(callback, 'callback');
  if (!Number.isSafeInteger(min)) throw invalidType('min', 'a safe integer', min);
  if (!Number.isSafeInteger(max)) throw invalidType('max', 'a safe integer', max);
  if (max <= min) throw outOfRange('max', `greater than the value of "min" (${min})`, max);
  const range = max - min;
  if (range > RANGE_MAX) throw outOfRange(withoutMin ? 'max' : 'max - min', `<= ${RANGE_MAX}`, range);
  const value = drawn(range) + min;
  if (callback === undefined) return value;
  later(callback, undefined, value);
  return undefined;
}

function uuidOf(bytes, version) {
  bytes[6] = (bytes[6] & 0x0f) | version;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

function requireCacheOption(options) {
  if (options === undefined) return;
  requireObject(options, 'options');
  const { disableEntropyCache = false } = options;
  if (typeof disableEntropyCache !== 'boolean') throw wrongType('options.disableEntropyCache', 'of type boolean', disableEntropyCache);
}

export function randomUUID(options) {
  requireCacheOption(options);
  return uuidOf(call(RANDOM, number(16)), 0x40);
}

export function randomUUIDv7(options) {
  requireCacheOption(options);
  const bytes = call(RANDOM, number(16));
  bytes.writeUIntBE(Date.now(), 0, 6);
  return uuidOf(bytes, 0x70);
}

const INTEGERS = /^(?:Big)?(?:Ui|I)nt(?:8|16|32|64)(?:Clamped)?Array$/;

export function getRandomValues(target) {
  const tag = isView(target) ? arrayTag(target) : undefined;
  if (tag === undefined || !INTEGERS.test(tag)) throw new DOMException('The data argument must be an integer-type TypedArray', 'TypeMismatchError');
  const bytes = viewed(target);
  if (bytes.length > VALUES_BYTES_MAX) throw new DOMException('The requested length exceeds 65,536 bytes', 'QuotaExceededError');
  fill(bytes);
  return target;
}

function compared(value, name) {
  if (isView(value) || isArrayBuffer(value)) return viewed(value);
  throw coded(TypeError, 'ERR_INVALID_ARG_TYPE', `The "${name}" argument must be ${BUFFERS}.`);
}

export function timingSafeEqual(left, right) {
  const [a, b] = [compared(left, 'buf1'), compared(right, 'buf2')];
  if (a.length !== b.length) throw coded(RangeError, 'ERR_CRYPTO_TIMING_SAFE_EQUAL_LENGTH', 'Input buffers must have the same byte length');
  let difference = 0;
  for (let index = 0; index < a.length; index += 1) difference |= a[index] ^ b[index];
  return difference === 0;
}
