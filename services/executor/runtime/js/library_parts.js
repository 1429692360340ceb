// Texts that packages fetch when they are first needed, by name, such as the models of AWS services.
import { hostSync, primordials } from './host.js';

// As in prelude.py.
const LIBRARY_PART = 1;
const CHARS_AT_ONCE = 8192;
const { apply, fromCharCode, uncurry } = primordials;
const subarray = uncurry(Uint8Array.prototype.subarray);

export function part(name) {
  const bytes = hostSync(LIBRARY_PART, name);
  let text = '';
  // build.mjs writes them in ASCII.
  for (let at = 0; at < bytes.length; at += CHARS_AT_ONCE) text += apply(fromCharCode, undefined, subarray(bytes, at, at + CHARS_AT_ONCE));
  return text;
}
