// TextEncoder and TextDecoder of the WHATWG Encoding standard, without the legacy multi-byte encodings (150 KB of tables).
import { TextDecoder, TextEncoder } from '@exodus/bytes/encoding-lite.js';
import { inspect, INSPECT } from '../inspect.js';
import { invalidType } from './argument_errors.js';
import { named } from './named.js';

export { utf8fromStringLoose as utf8Encode, utf8toStringLoose as utf8Decode } from '@exodus/bytes/utf8.js';
export { percentEncodeAfterEncoding } from '@exodus/bytes/whatwg.js';

const { apply, construct } = Reflect;
const { decode } = TextDecoder.prototype;
const { encodeInto } = TextEncoder.prototype;
const isBytes = (value) => ArrayBuffer.isView(value) || value instanceof ArrayBuffer;

// Errors carry Node's codes.
function coded(code, run) {
  try {
    return run();
  } catch (error) {
    error.code ??= code;
    throw error;
  }
}

const notSupported = (label) => Object.assign(new RangeError(`The "${label}" encoding is not supported`), { code: 'ERR_ENCODING_NOT_SUPPORTED' });

const methods = {
  decode(input, options) {
    if (input !== undefined && !isBytes(input)) throw invalidType('list', 'an instance of SharedArrayBuffer, ArrayBuffer or ArrayBufferView', input);
    return coded('ERR_ENCODING_INVALID_ENCODED_DATA', () => apply(decode, this, [input, options]));
  },
  encodeInto(source, target) {
    if (!(target instanceof Uint8Array)) throw invalidType('dest', 'an instance of Uint8Array', target);
    return apply(encodeInto, this, [source, target]);
  },
};
for (const [type, name] of [[TextDecoder, 'decode'], [TextEncoder, 'encodeInto']]) {
  Object.defineProperty(type.prototype, name, { value: methods[name], writable: true, enumerable: true, configurable: true });
}

named({ TextDecoder, TextEncoder });

const shown = {
  TextDecoder({ encoding, fatal, ignoreBOM }, options) {
    return `TextDecoder ${inspect({ encoding, fatal, ignoreBOM }, options)}`;
  },
  // Without its name: so does Node.
  TextEncoder({ encoding }, options) {
    return inspect({ encoding }, options);
  },
};
for (const type of [TextDecoder, TextEncoder]) {
  const show = shown[type.name];
  Object.defineProperty(type.prototype, INSPECT, { value(depth, options) { return show(this, options); }, writable: true, configurable: true });
}

const Decoder = new Proxy(TextDecoder, {
  construct(target, args, made) {
    try {
      return construct(target, args, made);
    } catch (error) {
      if (error instanceof RangeError) throw notSupported(args[0]);
      throw error;
    }
  },
});
Object.defineProperty(TextDecoder.prototype, 'constructor', { value: Decoder, writable: true, configurable: true });

export { Decoder as TextDecoder, TextEncoder };
