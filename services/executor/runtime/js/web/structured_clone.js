// structuredClone of the HTML standard, for what exists here: https://html.spec.whatwg.org/#structuredserializeinternal
import { DOMException } from './dom_exception.js';
import { named } from './named.js';

const ERRORS = { EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };
const TypedArray = Object.getPrototypeOf(Uint8Array);
const VIEWS = [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array, Float64Array, BigInt64Array, BigUint64Array];
const viewName = Object.getOwnPropertyDescriptor(TypedArray.prototype, Symbol.toStringTag).get;
const { apply } = Reflect;

// Each reads an internal slot, and throws where there is none: a changed prototype or tag does not mislead it.
const BRANDS = [
  ['boolean', Boolean.prototype.valueOf],
  ['number', Number.prototype.valueOf],
  ['string', String.prototype.valueOf],
  ['bigint', BigInt.prototype.valueOf],
  ['symbol', Symbol.prototype.valueOf],
  ['date', Date.prototype.getTime],
  ['regexp', Object.getOwnPropertyDescriptor(RegExp.prototype, 'source').get],
  ['buffer', Object.getOwnPropertyDescriptor(ArrayBuffer.prototype, 'byteLength').get],
  ['map', Object.getOwnPropertyDescriptor(Map.prototype, 'size').get],
  ['set', Object.getOwnPropertyDescriptor(Set.prototype, 'size').get],
  ['weak', (function () { apply(WeakMap.prototype.has, this, [this]); })],
  ['weak', (function () { apply(WeakSet.prototype.has, this, [this]); })],
  ['weak', (function () { apply(WeakRef.prototype.deref, this, []); })],
];

function brand(value) {
  if (Array.isArray(value)) return 'array';
  if (ArrayBuffer.isView(value)) return 'view';
  const tag = Object.prototype.toString.call(value);
  if (tag === '[object Object]' && !(Symbol.toStringTag in value)) return 'object';
  for (const [name, read] of BRANDS) {
    try {
      if (value === RegExp.prototype) continue;
      apply(read, value, []);
      return name;
    } catch {
      // Not of this brand.
    }
  }
  if (tag === '[object Error]' || value instanceof Error) return 'error';
  return value instanceof Promise ? 'weak' : 'object';
}

function refuse(value) {
  const shown = typeof value === 'object' ? `#<${value.constructor?.name ?? 'Object'}>` : String(value);
  throw new DOMException(`${shown} could not be cloned.`, 'DataCloneError');
}

function cloneError(error, copy) {
  const name = ERRORS[error.name] ?? Error;
  const descriptor = Object.getOwnPropertyDescriptor(error, 'message');
  const clone = Object.create(name.prototype);
  const result = new name(descriptor && 'value' in descriptor ? `${descriptor.value}` : undefined);
  Object.setPrototypeOf(result, Object.getPrototypeOf(clone));
  if (typeof error.stack === 'string') Object.defineProperty(result, 'stack', { value: error.stack, writable: true, configurable: true });
  if (Object.hasOwn(error, 'cause')) Object.defineProperty(result, 'cause', { value: copy(error.cause), writable: true, configurable: true });
  return result;
}

function cloneView(view, copy) {
  const buffer = copy(view.buffer);
  const name = apply(viewName, view, []);
  if (name === undefined) return new DataView(buffer, view.byteOffset, view.byteLength);
  return new (VIEWS.find((known) => known.name === name))(buffer, view.byteOffset, view.length);
}

function cloneProperties(from, to, copy) {
  for (const key of Object.keys(from)) {
    if (Object.hasOwn(from, key)) {
      Object.defineProperty(to, key, { value: copy(from[key]), writable: true, enumerable: true, configurable: true });
    }
  }
  return to;
}

export function structuredClone(value, options) {
  if (arguments.length === 0) {
    const message = "The \"value\" argument must be specified";
    throw Object.assign(new TypeError(message), { code: 'ERR_MISSING_ARGS' });
  }
  const seen = new Map();
  for (const buffer of options?.transfer ?? []) {
    if (!(buffer instanceof ArrayBuffer)) throw new DOMException('Value not transferable.', 'DataCloneError');
    seen.set(buffer, null);
  }
  const remember = (from, to) => {
    seen.set(from, to);
    return to;
  };

  function copy(source) {
    if (typeof source === 'function' || typeof source === 'symbol') return refuse(source);
    if (typeof source !== 'object' || source === null) return source;
    if (seen.get(source)) return seen.get(source);
    switch (brand(source)) {
      case 'boolean': case 'number': case 'string': case 'bigint':
        return remember(source, Object(source.valueOf()));
      case 'date':
        return remember(source, new Date(apply(Date.prototype.getTime, source, [])));
      case 'regexp':
        return remember(source, new RegExp(source.source, source.flags));
      case 'buffer':
        return remember(source, seen.has(source) ? source.transfer() : source.slice(0));
      case 'view':
        return remember(source, cloneView(source, copy));
      case 'map': {
        const map = remember(source, new Map());
        for (const [key, item] of [...source]) map.set(copy(key), copy(item));
        return map;
      }
      case 'set': {
        const set = remember(source, new Set());
        for (const item of [...source]) set.add(copy(item));
        return set;
      }
      case 'array':
        return cloneProperties(source, remember(source, new Array(source.length)), copy);
      case 'error':
        return remember(source, cloneError(source, copy));
      case 'object':
        return cloneProperties(source, remember(source, {}), copy);
      default:
        return refuse(source);
    }
  }
  return copy(value);
}

named({ structuredClone });
