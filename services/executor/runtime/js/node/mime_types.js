// `mime-types` with its table cut to what `lookup` needs (an extension's type), kept as text until it is first used.
import { load } from '../modules.js';
import { extname } from './path.js';

let table;

export function lookup(path) {
  if (!path || typeof path !== 'string') return false;
  const extension = extname('x.' + path).toLowerCase().slice(1);
  table ??= Object.assign(Object.create(null), load('virtual:mime-types'));
  return table[extension] || false;
}
export default { lookup };
