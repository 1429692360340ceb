// URL and URLSearchParams of the WHATWG URL standard (whatwg-url), printed by console as Node prints its own.
import { URL, URLSearchParams } from 'whatwg-url';
import { inspect, INSPECT } from '../inspect.js';
import { named } from './named.js';

const PARTS = ['href', 'origin', 'protocol', 'username', 'password', 'host', 'hostname', 'port', 'pathname', 'search', 'searchParams', 'hash'];

function inspectUrl(depth, options) {
  if (typeof depth === 'number' && depth < 0) return this;
  const shown = {};
  for (const part of PARTS) shown[part] = this[part];
  return `${(this.constructor ?? URL).name} ${inspect(shown, options)}`;
}

function inspectParams(depth, options) {
  if (typeof depth === 'number' && depth < 0) return options.stylize('[Object]', 'special');
  const inner = depth === null ? options : { ...options, depth: depth - 1 };
  const name = this.constructor.name;
  const output = Array.from(this, ([key, value]) => `${inspect(key, inner)} => ${inspect(value, inner)}`);
  if (!output.length) return `${name} {}`;
  const width = output.reduce((sum, line) => sum + line.length + 2, -2);
  return width > options.breakLength ? `${name} {\n  ${output.join(',\n  ')} }` : `${name} { ${output.join(', ')} }`;
}

Object.defineProperty(URL.prototype, INSPECT, { value: inspectUrl, writable: true, configurable: true });
Object.defineProperty(URLSearchParams.prototype, INSPECT, { value: inspectParams, writable: true, configurable: true });

const NOT_A_PAIR = 'Each query pair must be an iterable [name, value] tuple';

// whatwg-url speaks as the DOM's bindings do; Node has words and codes of its own.
const Params = new Proxy(URLSearchParams, {
  construct(target, args, made) {
    try {
      return Reflect.construct(target, args, made);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      if (/is a symbol/.test(error.message)) throw new TypeError('Cannot convert a Symbol value to a string');
      if (/sequence/.test(error.message)) throw Object.assign(new TypeError(NOT_A_PAIR), { code: 'ERR_INVALID_TUPLE' });
      throw error;
    }
  },
});
Object.defineProperty(URLSearchParams.prototype, 'constructor', { value: Params, writable: true, configurable: true });

named({ URL, URLSearchParams });

export { URL, Params as URLSearchParams };
