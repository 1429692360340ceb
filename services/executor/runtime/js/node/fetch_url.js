// What node-fetch asks of Node's `url`. Most addresses of APIs stand as the URL parser would write them, and what that
// takes is a fifth of a request: such a text is recognised instead of parsed.
import { URL as WholeUrl } from '../web/url.js';
import { format, parse as parseWhole } from './url.js';

const BYTE = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
// No label that IDNA would look into (xn--), and a last one that makes no number of the host.
const NAME = '(?:(?!xn--)[a-z\\d](?:[a-z\\d-]*[a-z\\d])?\\.)*(?!xn--)[a-z](?:[a-z\\d-]*[a-z\\d])?';
// A port of four digits or more is nobody's default, and one of five may be too large.
const PORT = '(?::[1-9]\\d{3})?|:[1-5]\\d{4}';
// A segment that begins with a dot, or with an escaped one, may be one that goes up.
const PATH = '(?:/(?!\\.|%2[eE])[\\w\\-.~!$&()*+,;=:@%]*)+';
const QUERY = '(?:\\?[\\w\\-.~!$&()*+,;=:@%/?]*)?';
const PLAIN = new RegExp(`^(https?:)//(${BYTE}(?:\\.${BYTE}){3}|${NAME})(?:${PORT})${PATH}${QUERY}$`);
const HOST_CHARS_MAX = 253;

const plain = (text) => {
  const found = PLAIN.exec(text);
  return found !== null && found[2].length <= HOST_CHARS_MAX ? found : null;
};

// Called with `new`, and asked for its text only.
function URL(text, base) {
  if (base === undefined && typeof text === 'string' && plain(text) !== null) return { toString: () => text };
  return new WholeUrl(text, base);
}

function parse(text) {
  const found = plain(text);
  return found === null ? parseWhole(text) : { href: text, protocol: found[1], hostname: found[2] };
}

export { URL, parse, format };
export default { URL, parse, format };
