// Internationalised host names (tr46: UTS #46 with its tables).
import { text } from 'text:tr46';
import { evaluate } from '../evaluate.js';

let tr46;

// Most hosts are plain ASCII without punycode, for which the algorithm only lowers the case.
const PLAIN = /^(?!(?:.*\.)?xn--)[\x00-\x7f]*$/i;

export function toASCII(domain, options) {
  if (!options.verifyDNSLength && PLAIN.test(domain)) return domain.toLowerCase();
  tr46 ??= evaluate(text());
  return tr46.toASCII(domain, options);
}
