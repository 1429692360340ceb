// TextEncoder and TextDecoder of the WHATWG Encoding standard, without the legacy multi-byte encodings (150 KB of tables).
export { TextDecoder, TextEncoder } from '@exodus/bytes/encoding-lite.js';
export { utf8fromStringLoose as utf8Encode, utf8toStringLoose as utf8Decode } from '@exodus/bytes/utf8.js';
export { percentEncodeAfterEncoding } from '@exodus/bytes/whatwg.js';
