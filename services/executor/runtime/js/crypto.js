// The part of Node's `crypto` that is served by the host so far: hashes, HMACs and random bytes.
import { hostSync } from './host.js';
import { inspect } from './inspect.js';
import { Buffer } from './web/buffer.js';

// The numbers are those of OPS in crypto_ops.py.
const HASH = 16;
const HMAC = 17;
const RANDOM = 18;
const RANDOM_BYTES_MAX = 1 << 20; // one host call's worth; keys and nonces are far smaller

function call(op, ...parts) {
  const framed = [];
  for (const part of parts) {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(part.length);
    framed.push(length, part);
  }
  const answer = hostSync(op, Buffer.concat(framed));
  return Buffer.from(answer.buffer, answer.byteOffset, answer.length);
}

// The end of Node's messages about arguments.
function received(value) {
  if (value === null || value === undefined) return ` Received ${value}`;
  if (typeof value === 'function') return ` Received function ${value.name}`;
  if (typeof value === 'object') return ` Received an instance of ${value.constructor?.name ?? 'Object'}`;
  return ` Received type ${typeof value} (${inspect(value)})`;
}

function toBuffer(data, encoding, name = 'data') {
  if (typeof data === 'string') return Buffer.from(data, encoding === 'buffer' ? 'utf8' : encoding);
  if (ArrayBuffer.isView(data)) return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  if (data instanceof ArrayBuffer) return Buffer.from(data);
  const message = `The "${name}" argument must be of type string or an instance of Buffer, TypedArray, or DataView.${received(data)}`;
  throw Object.assign(new TypeError(message), { code: 'ERR_INVALID_ARG_TYPE' });
}

class Digest {
  #op;
  #head;
  #chunks = [];
  #done = false;
  constructor(op, head) {
    this.#op = op;
    this.#head = head;
  }
  update(data, encoding) {
    if (this.#done) throw Object.assign(new Error('Digest already called'), { code: 'ERR_CRYPTO_HASH_FINALIZED' });
    // Copied: the caller may change its Buffer before the digest.
    this.#chunks.push(Buffer.from(toBuffer(data, encoding)));
    return this;
  }
  digest(encoding) {
    if (this.#done) throw Object.assign(new Error('Digest already called'), { code: 'ERR_CRYPTO_HASH_FINALIZED' });
    this.#done = true;
    const digest = call(this.#op, ...this.#head, Buffer.concat(this.#chunks));
    return encoding && encoding !== 'buffer' ? digest.toString(encoding) : digest;
  }
  copy() {
    const copy = new this.constructor(this.#op, this.#head);
    copy.#chunks = [...this.#chunks];
    return copy;
  }
}
class Hash extends Digest {}
class Hmac extends Digest {}

export function createHash(algorithm) {
  const name = Buffer.from(`${algorithm}`);
  call(HASH, name, Buffer.alloc(0)); // an unknown name throws here, as in Node
  return new Hash(HASH, [name]);
}

export function createHmac(algorithm, key) {
  const head = [Buffer.from(`${algorithm}`), toBuffer(key, undefined, 'key')];
  call(HMAC, ...head, Buffer.alloc(0));
  return new Hmac(HMAC, head);
}

export function randomBytes(size, callback) {
  if (!Number.isInteger(size) || size < 0 || size > RANDOM_BYTES_MAX) {
    const message = `The value of "size" is out of range. It must be >= 0 && <= ${RANDOM_BYTES_MAX}. Received ${size}`;
    throw Object.assign(new RangeError(message), { code: 'ERR_OUT_OF_RANGE' });
  }
  const length = Buffer.alloc(4);
  length.writeUInt32LE(size);
  const bytes = call(RANDOM, length);
  if (typeof callback !== 'function') return bytes;
  Promise.resolve().then(() => callback(null, bytes));
  return undefined;
}

export function randomUUID() {
  const bytes = randomBytes(16);
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, '$1-$2-$3-$4-$5');
}

export function timingSafeEqual(left, right) {
  const [a, b] = [toBuffer(left, undefined, 'buf1'), toBuffer(right, undefined, 'buf2')];
  if (a.length !== b.length) {
    const error = new RangeError('Input buffers must have the same byte length');
    throw Object.assign(error, { code: 'ERR_CRYPTO_TIMING_SAFE_EQUAL_LENGTH' });
  }
  let difference = 0;
  for (let index = 0; index < a.length; index++) difference |= a[index] ^ b[index];
  return difference === 0;
}

export const crypto = { createHash, createHmac, randomBytes, randomUUID, timingSafeEqual };
