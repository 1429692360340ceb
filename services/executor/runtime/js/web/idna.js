// Internationalised host names (tr46: UTS #46 with its tables).
import { load } from '../modules.js';

// Most hosts are plain ASCII without punycode, for which the algorithm only lowers the case.
const PLAIN = /^(?!(?:.*\.)?xn--)[\x00-\x7f]*$/i;

export function toASCII(domain, options) {
  if (!options.verifyDNSLength && PLAIN.test(domain)) return domain.toLowerCase();
  return load('tr46').toASCII(domain, options);
}
