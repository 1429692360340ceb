// Texts that packages fetch when they are first needed, by name, such as the models of AWS services.
import { hostSync, primordials } from './host.js';

// As in prelude.py.
const LIBRARY_PART = 1;
const CHARS_AT_ONCE = 8192;
const { apply, defineProperty, fromCharCode, getPrototypeOf, uncurry } = primordials;
const getter = (name) => uncurry(Object.getOwnPropertyDescriptor(getPrototypeOf(Uint8Array.prototype), name).get);
const bufferOf = getter('buffer');
const lengthOf = getter('byteLength');
const Bytes = Uint8Array;

// The text is evaluated as ours: nothing that user code can replace, be it a species or a length, may have a say in it.
function piece(bytes, start, size) {
  const found = new Bytes(bufferOf(bytes), start, size);
  defineProperty(found, 'length', { __proto__: null, value: size });
  return found;
}

export function part(name) {
  const bytes = hostSync(LIBRARY_PART, name);
  let text = '';
  // build.mjs writes them in ASCII.
  const size = lengthOf(bytes);
  for (let at = 0; at < size; at += CHARS_AT_ONCE) text += apply(fromCharCode, undefined, piece(bytes, at, size - at < CHARS_AT_ONCE ? size - at : CHARS_AT_ONCE));
  return text;
}
