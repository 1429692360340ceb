// Node's Buffer: npm `buffer`, with what it lacks against current Node (base64url, Node's UTF-8 decoder, inspection),
// and V8's native base64 and hex, which are ten times as fast.
import { Buffer } from 'buffer/';
import { INSPECT } from '../inspect.js';
import { invalidArgument, invalidType, invalidValue, outOfRange, requireNumber } from './argument_errors.js';
import { numberMethods } from './buffer_numbers.js';
import { named } from './named.js';
import { utf8Decode, utf8Encode } from './encoding.js';

const SIZE_MAX = Number.MAX_SAFE_INTEGER; // what Node names; an allocation fails far below it
const POOL_BYTES = 65536; // Node's figure; nothing is pooled here
const INSPECT_BYTES_MAX = 50; // Node's buffer.INSPECT_MAX_BYTES
const { toBase64, toHex } = Uint8Array.prototype;
const { apply } = Reflect;
const wrapped = {
  compare: Buffer.compare,
  concat: Buffer.concat,
  from: Buffer.from,
  byteLength: Buffer.byteLength,
  isEncoding: Buffer.isEncoding,
  toString: Buffer.prototype.toString,
  write: Buffer.prototype.write,
  indexOf: Buffer.prototype.indexOf,
  lastIndexOf: Buffer.prototype.lastIndexOf,
  includes: Buffer.prototype.includes,
  copy: Buffer.prototype.copy,
  compareWith: Buffer.prototype.compare,
  equals: Buffer.prototype.equals,
};

const isBase64Url = (encoding) => typeof encoding === 'string' && encoding.toLowerCase() === 'base64url';
// npm's base64 decoder takes both alphabets, with or without padding.
const known = (encoding) => (isBase64Url(encoding) ? 'base64' : encoding);
const asBuffer = (bytes) => Object.setPrototypeOf(bytes, Buffer.prototype);
const isUtf8 = (encoding) => encoding === undefined || encoding === null || encoding === 'utf8' || encoding === 'utf-8' || encoding === '';

const isHex = (encoding) => typeof encoding === 'string' && encoding.toLowerCase() === 'hex';
// Up to the first two characters that are no byte, where npm's decoder takes the first of them for one.
const fromHex = (text) => decodeHex(/^(?:[0-9a-f]{2})*/i.exec(text)[0]);
const decodeHex = Uint8Array.fromHex;

function range(buffer, start, end) {
  if (start === undefined && end === undefined) return buffer;
  const length = buffer.length;
  const from = Math.min(Math.max(Math.trunc(start) || 0, 0), length);
  const to = end === undefined ? length : Math.min(Math.max(Math.trunc(end) || 0, 0), length);
  return buffer.subarray(from, Math.max(from, to));
}

const DECODERS = {
  utf8: (bytes) => utf8Decode(bytes),
  'utf-8': (bytes) => utf8Decode(bytes),
  hex: (bytes) => apply(toHex, bytes, []),
  base64: (bytes) => apply(toBase64, bytes, []),
  base64url: (bytes) => apply(toBase64, bytes, [{ alphabet: 'base64url', omitPadding: true }]),
};

const NOT_BYTES = /^The first argument must be/; // npm's words
const notBytes = (value) => invalidArgument('The first argument', 'of type string or an instance of Buffer, ArrayBuffer, or Array or an Array-like Object', value);
const BYTES = 'an instance of Buffer or Uint8Array';

// npm's methods know Buffers alone.
function bytesOf(value, name) {
  if (!(value instanceof Uint8Array)) throw invalidType(name, BYTES, value);
  return value instanceof Buffer ? value : Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}

function requireSize(size) {
  requireNumber(size, 'size');
  if (!(size >= 0 && size <= SIZE_MAX)) throw outOfRange('size', `>= 0 && <= ${SIZE_MAX}`, size);
}

function zeros(size) {
  requireSize(size);
  return asBuffer(new Uint8Array(size));
}

function requireEncoding(encoding) {
  if (encoding !== undefined && typeof encoding !== 'string') throw invalidType('encoding', 'of type string', encoding);
}

const statics = {
  from(value, encodingOrOffset, length) {
    if (typeof value === 'string') {
      if (isUtf8(encodingOrOffset)) return asBuffer(utf8Encode(value));
      if (isHex(encodingOrOffset)) return asBuffer(fromHex(value));
      return apply(wrapped.from, Buffer, [value, known(encodingOrOffset)]);
    }
    if (typeof value !== 'object' || value === null) throw notBytes(value);
    try {
      return apply(wrapped.from, Buffer, [value, encodingOrOffset, length]);
    } catch (error) {
      throw error instanceof TypeError && NOT_BYTES.test(error.message) ? notBytes(value) : error;
    }
  },
  alloc(size, fill, encoding) {
    const buffer = zeros(size);
    if (fill === undefined || fill === 0 || size === 0) return buffer;
    requireEncoding(encoding);
    return buffer.fill(fill, encoding);
  },
  allocUnsafe: (size) => zeros(size),
  allocUnsafeSlow: (size) => zeros(size),
  compare(left, right) {
    return apply(wrapped.compare, Buffer, [bytesOf(left, 'buf1'), bytesOf(right, 'buf2')]);
  },
  concat(list, length) {
    if (!Array.isArray(list)) throw invalidType('list', 'an instance of Array', list);
    list.forEach((part, place) => {
      if (!(part instanceof Uint8Array)) throw invalidType(`list[${place}]`, BYTES, part);
    });
    if (length !== undefined) {
      requireNumber(length, 'length');
      if (!(Number.isInteger(length) && length >= 0)) throw outOfRange('length', Number.isInteger(length) ? `>= 0 && <= ${SIZE_MAX}` : 'an integer', length);
    }
    return apply(wrapped.concat, Buffer, [list, length]);
  },
  byteLength(value, encoding) {
    return apply(wrapped.byteLength, Buffer, [value, known(encoding)]);
  },
  isEncoding(encoding) {
    return isBase64Url(encoding) || (typeof encoding === 'string' && encoding !== '' && wrapped.isEncoding(encoding));
  },
  copyBytesFrom(view, offset = 0, length = view.length - offset) {
    const part = view.subarray(offset, offset + length);
    return Buffer.from(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
  },
};

const fillBytes = Uint8Array.prototype.fill;
const unknownEncoding = (encoding) => Object.assign(new TypeError(`Unknown encoding: ${encoding}`), { code: 'ERR_UNKNOWN_ENCODING' });

function place(value, usual, name, length) {
  if (value === undefined) return usual;
  requireNumber(value, name);
  if (!Number.isInteger(value)) throw outOfRange(name, 'an integer', value);
  if (value < 0 || (name === 'end' && value > length)) throw outOfRange(name, `>= 0 && <= ${name === 'end' ? length : SIZE_MAX}`, value);
  return value;
}

function writeBytes(buffer, bytes, offset = 0, length = buffer.length - offset) {
  const part = bytes.subarray(0, Math.min(length, buffer.length - offset));
  buffer.set(part, offset);
  return part.length;
}

const methods = {
  toString(encoding, start, end) {
    const decode = encoding === undefined ? DECODERS.utf8 : DECODERS[String(encoding).toLowerCase()];
    if (!decode) return apply(wrapped.toString, this, [encoding, start, end]);
    return decode(range(this, start, end));
  },
  write(text, offset, length, encoding) {
    if (typeof text !== 'string') throw Object.assign(new TypeError('argument must be a string'), { code: 'ERR_INVALID_ARG_TYPE' });
    if (typeof offset === 'number' && !(offset >= 0 && offset <= this.length)) throw outOfRange('offset', `>= 0 && <= ${this.length}`, offset);
    if (typeof length === 'number' && !(length >= 0 && length <= this.length)) throw outOfRange('length', `>= 0 && <= ${this.length}`, length);
    if (typeof offset === 'string') return methods.write.call(this, text, 0, this.length, offset);
    if (typeof length === 'string') return methods.write.call(this, text, offset, this.length - offset, length);
    if (isHex(encoding)) return writeBytes(this, fromHex(text), offset, length);
    return apply(wrapped.write, this, arguments.length > 3 ? [text, offset, length, known(encoding)] : [...arguments]);
  },
  fill(value, offset, end, encoding) {
    if (typeof offset === 'string') return methods.fill.call(this, value, 0, this.length, offset);
    if (typeof end === 'string') return methods.fill.call(this, value, offset, this.length, end);
    const [from, to] = [place(offset, 0, 'offset', this.length), place(end, this.length, 'end', this.length)];
    if (typeof value === 'string') {
      requireEncoding(encoding);
      if (encoding !== undefined && !Buffer.isEncoding(encoding)) throw unknownEncoding(encoding);
      if (value !== '' && Buffer.from(value, encoding).length === 0) throw invalidValue('value', value);
    } else if (value instanceof Uint8Array && value.length === 0) {
      throw invalidValue('value', value);
    }
    if (from >= to) return this;
    const filling = typeof value === 'string' ? Buffer.from(value, encoding) : value;
    if (!(filling instanceof Uint8Array) || filling.length === 0) {
      return apply(fillBytes, this, [filling instanceof Uint8Array ? 0 : Number(filling) & 255, from, to]);
    }
    for (let i = from; i < to; i += 1) this[i] = filling[(i - from) % filling.length];
    return this;
  },
  compare(target, ...places) {
    return apply(wrapped.compareWith, this, [bytesOf(target, 'target'), ...places]);
  },
  equals(other) {
    return apply(wrapped.equals, this, [bytesOf(other, 'otherBuffer')]);
  },
  copy(target, targetStart, sourceStart, sourceEnd) {
    if (!ArrayBuffer.isView(target)) throw invalidType('target', 'an instance of Buffer or Uint8Array', target);
    const into = target instanceof Buffer ? target : Buffer.from(target.buffer, target.byteOffset, target.byteLength);
    return apply(wrapped.copy, this, [into, targetStart, sourceStart, sourceEnd]);
  },
  [INSPECT](depth, options) {
    const shown = apply(toHex, this.subarray(0, INSPECT_BYTES_MAX), []).replace(/(..)(?=.)/g, '$1 ');
    const more = this.length - INSPECT_BYTES_MAX;
    const rest = more > 0 ? ` ... ${more} more byte${more > 1 ? 's' : ''}` : '';
    return `<${this.constructor.name} ${shown}${rest}>`;
  },
};
// Nothing is found everywhere, where npm's methods find it nowhere.
function emptyFound(name, length, offset) {
  if (name === 'includes') return true;
  const usual = name === 'lastIndexOf' ? length : 0;
  const wanted = typeof offset === 'number' && !Number.isNaN(offset) ? Math.trunc(offset) : usual;
  return Math.min(Math.max(wanted < 0 ? length + wanted : wanted, 0), length);
}

for (const name of ['indexOf', 'lastIndexOf', 'includes']) {
  methods[name] = {
    [name](value, offset, encoding) {
      if (typeof value !== 'string' && typeof value !== 'number' && !(value instanceof Uint8Array)) {
        throw invalidType('value', 'one of type number or string or an instance of Buffer or Uint8Array', value);
      }
      if (value.length === 0) return emptyFound(name, this.length, offset);
      const wanted = value instanceof Uint8Array ? bytesOf(value, 'value') : value;
      if (typeof offset === 'string') return apply(wrapped[name], this, [wanted, known(offset)]);
      return apply(wrapped[name], this, [wanted, offset, known(encoding)]);
    },
  }[name];
}

// npm's errors lack Node's codes.
function codeOf(error) {
  if (/^Unknown encoding/.test(error.message)) return 'ERR_UNKNOWN_ENCODING';
  if (/^Buffer size must be a multiple/.test(error.message)) return 'ERR_INVALID_BUFFER_SIZE';
  if (error instanceof RangeError) return 'ERR_OUT_OF_RANGE';
  return error instanceof TypeError ? 'ERR_INVALID_ARG_TYPE' : undefined;
}

function withCodes(target, name) {
  const method = target[name];
  const guarded = {
    [name](...args) {
      try {
        return apply(method, this, args);
      } catch (error) {
        error.code ??= codeOf(error);
        throw error;
      }
    },
  }[name];
  Object.defineProperty(target, name, { value: guarded, writable: true, configurable: true });
}

function define(target, members) {
  for (const key of Reflect.ownKeys(members)) {
    Object.defineProperty(target, key, { value: members[key], writable: true, configurable: true });
  }
}
// utf8Slice and the like, which older code calls by name.
for (const [name, encoding] of Object.entries({ ascii: 'ascii', base64: 'base64', base64url: 'base64url', hex: 'hex', latin1: 'latin1', ucs2: 'ucs2', utf8: 'utf8' })) {
  methods[`${name}Slice`] = { [`${name}Slice`](start, end) { return this.toString(encoding, start, end); } }[`${name}Slice`];
  methods[`${name}Write`] = { [`${name}Write`](text, offset = 0, length = this.length - offset) { return this.write(text, offset, length, encoding); } }[`${name}Write`];
}
define(Buffer, statics);
define(Buffer.prototype, methods);
define(Buffer.prototype, numberMethods);
Buffer.poolSize = POOL_BYTES;
for (const name of ['from', 'byteLength']) withCodes(Buffer, name);
for (const name of ['write', 'swap16', 'swap32', 'swap64', 'toString']) withCodes(Buffer.prototype, name);

named({ Buffer });

export { Buffer };
