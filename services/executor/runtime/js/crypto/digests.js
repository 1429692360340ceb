// createHash, createHmac and hash. What `update` takes is kept here, and goes to the host in one call.
import { coded, dataBytes, invalidValue, requireObject, requireString, requireUint32 } from './arguments.js';
import { named } from '../web/named.js';
import { call, HASH, HMAC, number } from './calls.js';
import { secretBytes } from './keys.js';
import { PARTS, Streamed } from './streams.js';
import { digestOf } from './tables.js';

const NO_LENGTH = number(0);

const finalized = () => coded(Error, 'ERR_CRYPTO_HASH_FINALIZED', 'Digest already called');

const shownAs = (bytes, encoding) => (encoding && Buffer.isEncoding(`${encoding}`) ? bytes.toString(`${encoding}`) : bytes);

const parts = (digest) => ({ transform: (chunk, encoding) => void digest.update(chunk, encoding), flush: () => digest.digest() });

function notExtendable() {
  const [library, reason] = ['digital envelope routines', 'not XOF or invalid length'];
  const error = Object.assign(new Error(`error:030000B2:${library}::${reason}`), { library, reason });
  return Object.assign(error, { code: 'ERR_OSSL_EVP_NOT_XOF_OR_INVALID_LENGTH' });
}

// How long the digest is to be; 0 where it has a length of its own.
function outputBytes(digest, length) {
  if (!digest.extendable) {
    if (length !== undefined && length !== digest.bytes) throw notExtendable();
    return 0;
  }
  return length ?? digest.bytes;
}

const digested = (digest, length, chunks) => (digest.extendable && length === 0 ? Buffer.alloc(0) : call(HASH, digest.code, length ? number(length) : NO_LENGTH, chunks));

function lengthOf(options) {
  const length = typeof options === 'object' && options !== null ? options.outputLength : undefined;
  if (length !== undefined) requireUint32(length, 'options.outputLength');
  return length;
}

class Hash extends Streamed {
  #digest;
  #length;
  #chunks = [];
  #done = false;

  constructor(algorithm, options) {
    super();
    const original = typeof algorithm === 'object' && algorithm !== null && #digest in algorithm ? algorithm : null;
    if (original === null) requireString(algorithm, 'algorithm');
    const length = lengthOf(options);
    this.#digest = original === null ? digestOf(algorithm) : original.#digest;
    if (this.#digest === undefined) throw new Error('Digest method not supported');
    this.#length = outputBytes(this.#digest, length);
  }
  update(data, encoding) {
    if (this.#done) throw finalized();
    this.#chunks.push(dataBytes(data, encoding));
    return this;
  }
  digest(encoding) {
    if (this.#done) throw finalized();
    const bytes = digested(this.#digest, this.#length, this.#chunks);
    this.#done = true;
    this.#chunks = [];
    return shownAs(bytes, encoding);
  }
  copy(options) {
    if (this.#done) throw finalized();
    const copy = new Hash(this, options);
    copy.#chunks = [...this.#chunks];
    return copy;
  }
  [PARTS]() {
    return parts(this);
  }
}

class Hmac extends Streamed {
  #head;
  #chunks = [];
  #done = false;

  constructor(algorithm, key, options) {
    super();
    requireString(algorithm, 'hmac');
    const secret = secretBytes(key, 'key', options?.encoding);
    const digest = digestOf(algorithm);
    if (digest === undefined) throw coded(TypeError, 'ERR_CRYPTO_INVALID_DIGEST', `Invalid digest: ${algorithm}`);
    if (digest.extendable) throw new Error('error:00000000:lib(0)::reason(0)');
    this.#head = [digest.code, secret];
  }
  update(data, encoding) {
    if (this.#done) throw finalized();
    this.#chunks.push(dataBytes(data, encoding));
    return this;
  }
  digest(encoding) {
    if (this.#done) return shownAs(Buffer.alloc(0), encoding);
    const bytes = call(HMAC, ...this.#head, this.#chunks);
    this.#done = true;
    this.#chunks = [];
    return shownAs(bytes, encoding);
  }
  [PARTS]() {
    return parts(this);
  }
}

export const createHash = (algorithm, options) => new Hash(algorithm, options);
export const createHmac = (algorithm, key, options) => new Hmac(algorithm, key, options);

function encodingOf(options) {
  if (typeof options === 'string') return options;
  if (options === undefined) return 'hex';
  requireObject(options, 'options');
  return options.outputEncoding ?? 'hex';
}

export function hash(algorithm, input, options) {
  requireString(algorithm, 'algorithm');
  const data = dataBytes(input, undefined, 'input', 'of type string or an instance of Buffer, TypedArray, or DataView');
  const encoding = encodingOf(options);
  requireString(encoding, 'outputEncoding');
  if (encoding && !Buffer.isEncoding(encoding) && encoding.toLowerCase() !== 'buffer') throw invalidValue('outputEncoding', encoding);
  const length = typeof options === 'string' ? undefined : options?.outputLength;
  if (length !== undefined) requireUint32(length, 'outputLength');
  const digest = digestOf(algorithm);
  if (digest === undefined) throw new Error(`Digest method ${algorithm} is not supported`);
  if (!digest.extendable && length !== undefined && length !== digest.bytes) {
    throw new Error(`Output length ${length} is invalid for ${algorithm}, which does not support XOF`);
  }
  return shownAs(digested(digest, outputBytes(digest, length), data), encoding || 'utf8');
}

named({ Hash, Hmac });

export { Hash, Hmac };
