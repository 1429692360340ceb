// What node-fetch asks of Node's `url`: the legacy parser, run only on what the WHATWG parser wrote, or on relative text.
import { URL } from '../web/url.js';

// The legacy parser escapes these after the authority, and the WHATWG serializer leaves some of them as they are.
const ESCAPED = /[{}|\\^`<>"' ]/g;
const escape = (character) => '%' + character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0');

function parse(text) {
  const absolute = /^([a-z][a-z\d+.-]*:)(\/\/[^/?#]*)?/i.exec(text);
  if (!absolute) {
    const trimmed = text.trim();
    if (trimmed !== text && /^https?:/i.test(trimmed)) return parse(new URL(trimmed).href);
    return { href: text.replace(ESCAPED, escape), protocol: null, hostname: null };
  }
  const rest = text.slice(absolute[0].length).replace(ESCAPED, escape);
  const { protocol, hostname } = new URL(text);
  return { href: absolute[0] + rest, protocol, hostname };
}

const format = (parsed) => parsed.href;

export { URL, parse, format };
export default { URL, parse, format };
