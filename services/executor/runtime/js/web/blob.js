// Blob and File of the File API; the bytes are whole in memory.
import { PassThrough } from '../node/stream.js';
import { Buffer } from './buffer.js';
import { named } from './named.js';
import { utf8Decode, utf8Encode } from './encoding.js';

const bytesOf = new WeakMap();

function partBytes(part) {
  if (bytesOf.has(part)) return bytesOf.get(part);
  if (part instanceof ArrayBuffer) return new Uint8Array(part.slice(0));
  if (ArrayBuffer.isView(part)) return new Uint8Array(part.buffer.slice(part.byteOffset, part.byteOffset + part.byteLength));
  return utf8Encode(`${part}`.toWellFormed());
}

function concatenate(parts) {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}

const cleanType = (type) => (/[^\x20-\x7e]/.test(type) ? '' : type.toLowerCase());

export class Blob {
  #type;
  constructor(parts = [], options = {}) {
    if (parts === null || typeof parts !== 'object' || typeof parts[Symbol.iterator] !== 'function') {
      throw Object.assign(new TypeError('The "sources" argument must be an instance of a sequence'), { code: 'ERR_INVALID_ARG_TYPE' });
    }
    if (options !== null && typeof options !== 'object' && typeof options !== 'function') {
      throw Object.assign(new TypeError('The "options" argument must be of type object.'), { code: 'ERR_INVALID_ARG_TYPE' });
    }
    bytesOf.set(this, concatenate(Array.from(parts, partBytes)));
    this.#type = cleanType(options?.type === undefined ? '' : `${options.type}`);
  }
  get size() {
    return bytesOf.get(this).length;
  }
  get type() {
    return this.#type;
  }
  slice(start, end, type = '') {
    const blob = new Blob([], { type });
    bytesOf.set(blob, bytesOf.get(this).slice(start, end));
    return blob;
  }
  async text() {
    return utf8Decode(bytesOf.get(this));
  }
  async arrayBuffer() {
    return bytesOf.get(this).slice().buffer;
  }
  async bytes() {
    return bytesOf.get(this).slice();
  }
  stream() {
    return new PassThrough().end(Buffer.from(bytesOf.get(this)));
  }
  get [Symbol.toStringTag]() {
    return 'Blob';
  }
  [Symbol.for('nodejs.util.inspect.custom')](depth) {
    return depth < 0 ? '[Blob]' : `Blob { size: ${this.size}, type: '${this.type}' }`;
  }
}

export class File extends Blob {
  #name;
  #lastModified;
  constructor(parts, name, options = {}) {
    if (arguments.length < 2) {
      throw Object.assign(new TypeError('The "fileBits" and "fileName" arguments must be specified'), { code: 'ERR_MISSING_ARGS' });
    }
    super(parts, options);
    this.#name = `${name}`;
    this.#lastModified = options.lastModified ?? Date.now();
  }
  get name() {
    return this.#name;
  }
  get lastModified() {
    return this.#lastModified;
  }
  get [Symbol.toStringTag]() {
    return 'File';
  }
}

named({ Blob, File });

export const blobBytes = (blob) => bytesOf.get(blob);
