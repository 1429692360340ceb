// Node's Buffer: npm `buffer`, with what it lacks against current Node (base64url, Node's UTF-8 decoder, inspection),
// and V8's native base64 and hex, which are ten times as fast.
import { Buffer } from 'buffer/';
import { INSPECT } from '../inspect.js';
import { named } from './named.js';
import { utf8Decode, utf8Encode } from './encoding.js';

const INSPECT_BYTES_MAX = 50; // Node's buffer.INSPECT_MAX_BYTES
const { toBase64, toHex } = Uint8Array.prototype;
const { apply } = Reflect;
const wrapped = {
  from: Buffer.from,
  byteLength: Buffer.byteLength,
  isEncoding: Buffer.isEncoding,
  toString: Buffer.prototype.toString,
  write: Buffer.prototype.write,
  fill: Buffer.prototype.fill,
  indexOf: Buffer.prototype.indexOf,
  lastIndexOf: Buffer.prototype.lastIndexOf,
  includes: Buffer.prototype.includes,
};

const isBase64Url = (encoding) => typeof encoding === 'string' && encoding.toLowerCase() === 'base64url';
// npm's base64 decoder takes both alphabets, with or without padding.
const known = (encoding) => (isBase64Url(encoding) ? 'base64' : encoding);
const asBuffer = (bytes) => Object.setPrototypeOf(bytes, Buffer.prototype);
const isUtf8 = (encoding) => encoding === undefined || encoding === null || encoding === 'utf8' || encoding === 'utf-8' || encoding === '';

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

const statics = {
  from(value, encodingOrOffset, length) {
    if (typeof value === 'string') {
      if (isUtf8(encodingOrOffset)) return asBuffer(utf8Encode(value));
      return apply(wrapped.from, Buffer, [value, known(encodingOrOffset)]);
    }
    return apply(wrapped.from, Buffer, [value, encodingOrOffset, length]);
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

const methods = {
  toString(encoding, start, end) {
    const decode = encoding === undefined ? DECODERS.utf8 : DECODERS[String(encoding).toLowerCase()];
    if (!decode) return apply(wrapped.toString, this, [encoding, start, end]);
    return decode(range(this, start, end));
  },
  write(text, offset, length, encoding) {
    if (typeof offset === 'string') return apply(wrapped.write, this, [text, known(offset)]);
    if (typeof length === 'string') return apply(wrapped.write, this, [text, offset, known(length)]);
    return apply(wrapped.write, this, arguments.length > 3 ? [text, offset, length, known(encoding)] : [...arguments]);
  },
  fill(value, offset, end, encoding) {
    if (typeof offset === 'string') return apply(wrapped.fill, this, [value, known(offset)]);
    if (typeof end === 'string') return apply(wrapped.fill, this, [value, offset, known(end)]);
    return apply(wrapped.fill, this, [value, offset, end, known(encoding)]);
  },
  [INSPECT](depth, options) {
    const shown = apply(toHex, this.subarray(0, INSPECT_BYTES_MAX), []).replace(/(..)(?=.)/g, '$1 ');
    const more = this.length - INSPECT_BYTES_MAX;
    const rest = more > 0 ? ` ... ${more} more byte${more > 1 ? 's' : ''}` : '';
    return `<${this.constructor.name} ${shown}${rest}>`;
  },
};
for (const name of ['indexOf', 'lastIndexOf', 'includes']) {
  methods[name] = {
    [name](value, offset, encoding) {
      if (typeof offset === 'string') return apply(wrapped[name], this, [value, known(offset)]);
      return apply(wrapped[name], this, [value, offset, known(encoding)]);
    },
  }[name];
}

// npm's errors lack Node's codes.
function codeOf(error) {
  if (/^Unknown encoding/.test(error.message)) return 'ERR_UNKNOWN_ENCODING';
  if (error instanceof RangeError) return /beyond buffer length/.test(error.message) ? 'ERR_BUFFER_OUT_OF_BOUNDS' : 'ERR_OUT_OF_RANGE';
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
define(Buffer, statics);
define(Buffer.prototype, methods);
for (const name of ['from', 'alloc', 'allocUnsafe', 'allocUnsafeSlow', 'byteLength', 'concat', 'compare']) withCodes(Buffer, name);
for (const name of Object.getOwnPropertyNames(Buffer.prototype)) {
  if (/^(?:read|write|swap|toString$|fill$|compare$|equals$)/.test(name)) withCodes(Buffer.prototype, name);
}

named({ Buffer });

export { Buffer };
