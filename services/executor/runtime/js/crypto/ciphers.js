// createCipheriv and createDecipheriv. The cipher at work stands in the host; what it may be asked is known here.
import { coded, dataBytes, invalidValue, requireInt32, requireObject, requireString, sourceBytes, wrongType } from './arguments.js';
import { call, CIPHER_FINAL, CIPHER_OPEN, CIPHER_UPDATE, EMPTY, json, number } from './calls.js';
import { secretBytes } from './keys.js';
import { PARTS, Streamed } from './streams.js';
import { cipherOf, cipherOfNid } from './tables.js';

const TAG_BYTES = 16;
const isTagLength = (length) => length === 4 || length === 8 || (length >= 12 && length <= TAG_BYTES);

const invalidState = (operation) => coded(Error, 'ERR_CRYPTO_INVALID_STATE', operation ? `Invalid state for operation ${operation}` : 'Invalid state');
const invalidTag = (length) => coded(TypeError, 'ERR_CRYPTO_INVALID_AUTH_TAG', `Invalid authentication tag length: ${length}`);
const invalidIv = () => coded(TypeError, 'ERR_CRYPTO_INVALID_IV', 'Invalid initialization vector');

function countOption(options, name) {
  const value = options?.[name];
  if (value === undefined || value === null) return undefined;
  if (value >>> 0 !== value) throw invalidValue(`options.${name}`, value);
  return value;
}

// ---- text that comes in pieces -----------------------------------------------------------------------------------

const STEPS = { base64: 3, base64url: 3, utf16le: 2, ucs2: 2, 'utf-16le': 2, 'ucs-2': 2 };
const CHANGED =
  'Cannot change encoding\nThis is caused by either a bug in Node.js or incorrect usage of Node.js internals.\nPlease open an issue with this stack trace at https://github.com/nodejs/node/issues\n';

// Holds back what is no whole character yet.
class Decoder {
  constructor(encoding) {
    if (!Buffer.isEncoding(encoding)) throw coded(TypeError, 'ERR_UNKNOWN_ENCODING', `Unknown encoding: ${encoding}`);
    this.encoding = encoding.toLowerCase();
    this.utf8 = this.encoding === 'utf8' || this.encoding === 'utf-8' ? new TextDecoder('utf-8', { ignoreBOM: true }) : null;
    this.rest = EMPTY;
  }
  decode(bytes, last) {
    if (this.utf8 !== null) return this.utf8.decode(bytes, { stream: !last });
    const whole = Buffer.concat([this.rest, bytes]);
    const step = STEPS[this.encoding] ?? 1;
    const end = last ? whole.length : whole.length - (whole.length % step);
    this.rest = whole.subarray(end);
    return whole.toString(this.encoding, 0, end);
  }
}

// ---- the classes -------------------------------------------------------------------------------------------------

class CipherBase extends Streamed {
  #cipher;
  #key;
  #iv;
  #encrypts;
  #tagBytes;
  #tag = null;
  #additional = [];
  #padding = true;
  #context = null;
  #done = false;
  #decoder = null;

  constructor(name, key, iv, options, encrypts) {
    super();
    requireString(name, 'cipher');
    this.#key = secretBytes(key, 'key', options?.encoding);
    this.#iv = iv === null ? null : sourceBytes(iv, 'iv');
    this.#tagBytes = countOption(options, 'authTagLength');
    this.#encrypts = encrypts;
    this.#cipher = cipherOf(name);
    this.#check();
  }

  get #isTagged() {
    return this.#cipher.mode === 'gcm';
  }

  #check() {
    const cipher = this.#cipher;
    if (cipher === undefined) throw coded(Error, 'ERR_CRYPTO_UNKNOWN_CIPHER', 'Unknown cipher');
    if (this.#iv === null && cipher.ivBytes) throw invalidIv();
    const length = this.#iv?.length ?? 0;
    if (this.#isTagged ? length === 0 : length !== cipher.ivBytes) throw invalidIv();
    if (this.#isTagged && this.#tagBytes !== undefined && !isTagLength(this.#tagBytes)) throw invalidTag(this.#tagBytes);
    if (this.#key.length !== cipher.keyBytes) throw coded(RangeError, 'ERR_CRYPTO_INVALID_KEYLEN', 'Invalid key length');
  }

  #open() {
    const { algorithm, variant } = this.#cipher;
    const chosen = json({ algorithm, mode: variant, encrypts: this.#encrypts });
    this.#context ??= call(CIPHER_OPEN, chosen, this.#key, this.#iv ?? EMPTY, this.#additional);
    return this.#context;
  }

  #shown(bytes, encoding, last) {
    if (!encoding || encoding === 'buffer') return bytes;
    const name = `${encoding}`;
    this.#decoder ??= new Decoder(name);
    if (!Buffer.isEncoding(name)) throw coded(TypeError, 'ERR_UNKNOWN_ENCODING', `Unknown encoding: ${name}`);
    if (this.#decoder.encoding !== name.toLowerCase()) throw coded(Error, 'ERR_INTERNAL_ASSERTION', CHANGED);
    return this.#decoder.decode(bytes, last);
  }

  update(data, inputEncoding, outputEncoding) {
    const bytes = dataBytes(data, inputEncoding);
    if (this.#done) throw new Error('Trying to add data in unsupported state');
    return this.#shown(call(CIPHER_UPDATE, this.#open(), number(this.#padding ? 1 : 0), bytes), outputEncoding, false);
  }

  final(outputEncoding) {
    if (this.#done) throw invalidState();
    const needsTag = this.#isTagged && !this.#encrypts;
    const context = this.#open();
    this.#done = true;
    if (needsTag && this.#tag === null) throw new Error('Unsupported state or unable to authenticate data');
    const bytes = call(CIPHER_FINAL, context, number(this.#padding ? 1 : 0), needsTag ? this.#tag : EMPTY);
    return this.#shown(this.#isTagged && this.#encrypts ? this.#withoutTag(bytes) : bytes, outputEncoding, true);
  }

  #withoutTag(bytes) {
    const end = bytes.length - TAG_BYTES;
    this.#tag = Buffer.from(bytes.subarray(end, end + (this.#tagBytes ?? TAG_BYTES)));
    return bytes.subarray(0, end);
  }

  setAutoPadding(padding = true) {
    if (this.#done) throw invalidState('setAutoPadding');
    this.#padding = !!padding;
    return this;
  }

  setAAD(data, options) {
    const encoding = options?.encoding;
    countOption(options, 'plaintextLength');
    const bytes = sourceBytes(data, 'aadbuf', encoding);
    if (this.#done || !this.#isTagged || this.#context !== null) throw invalidState('setAAD');
    this.#additional.push(bytes);
    return this;
  }

  getTag() {
    if (!this.#done || this.#tag === null) throw invalidState('getAuthTag');
    return Buffer.from(this.#tag);
  }

  setTag(tag, encoding) {
    const bytes = sourceBytes(tag, 'buffer', encoding);
    if (this.#done || !this.#isTagged || this.#tag !== null) throw invalidState('setAuthTag');
    const fits = this.#tagBytes === undefined ? isTagLength(bytes.length) : bytes.length === this.#tagBytes;
    if (!fits) throw invalidTag(bytes.length);
    this.#tag = bytes;
    return this;
  }

  [PARTS]() {
    return { transform: (chunk, encoding) => this.update(chunk, encoding), flush: () => this.final() };
  }
}
// Names of Node's, on the class that has the method there.
const { getTag, setTag } = CipherBase.prototype;
delete CipherBase.prototype.getTag;
delete CipherBase.prototype.setTag;

export class Cipheriv extends CipherBase {
  constructor(cipher, key, iv, options) {
    super(cipher, key, iv, options, true);
  }
  getAuthTag() {
    return Reflect.apply(getTag, this, []);
  }
}

export class Decipheriv extends CipherBase {
  constructor(cipher, key, iv, options) {
    super(cipher, key, iv, options, false);
  }
  setAuthTag(tag, encoding) {
    return Reflect.apply(setTag, this, [tag, encoding]);
  }
}

export const createCipheriv = (cipher, key, iv, options) => new Cipheriv(cipher, key, iv, options);
export const createDecipheriv = (cipher, key, iv, options) => new Decipheriv(cipher, key, iv, options);

export function getCipherInfo(nameOrNid, options) {
  if (typeof nameOrNid === 'number') requireInt32(nameOrNid, 'nameOrNid');
  else if (typeof nameOrNid !== 'string') throw wrongType('nameOrNid', 'one of type string or number', nameOrNid);
  if (options !== undefined) requireObject(options, 'options');
  const { keyLength, ivLength } = options ?? {};
  if (keyLength !== undefined) requireInt32(keyLength, 'options.keyLength');
  if (ivLength !== undefined) requireInt32(ivLength, 'options.ivLength');
  const cipher = typeof nameOrNid === 'number' ? cipherOfNid(nameOrNid) : cipherOf(nameOrNid);
  if (cipher === undefined || (keyLength !== undefined && keyLength !== cipher.keyBytes)) return undefined;
  const fits = cipher.mode === 'gcm' ? ivLength > 0 : ivLength === cipher.ivBytes;
  if (ivLength !== undefined && !fits) return undefined;
  const info = { mode: cipher.mode, name: cipher.name, nid: cipher.nid, blockSize: cipher.blockBytes };
  if (cipher.ivBytes) info.ivLength = ivLength ?? cipher.ivBytes;
  return { ...info, keyLength: cipher.keyBytes };
}
