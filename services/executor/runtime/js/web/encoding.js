// TextEncoder and TextDecoder of the WHATWG Encoding standard, without the legacy multi-byte encodings (150 KB of tables).
import { TextDecoder, TextEncoder } from '@exodus/bytes/encoding-lite.js';
import { named } from './named.js';

export { utf8fromStringLoose as utf8Encode, utf8toStringLoose as utf8Decode } from '@exodus/bytes/utf8.js';
export { percentEncodeAfterEncoding } from '@exodus/bytes/whatwg.js';

named({ TextDecoder, TextEncoder });

export { TextDecoder, TextEncoder };
