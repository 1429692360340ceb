// Node's `util`, as far as bundled packages use it.
import { format, inspect } from '../inspect.js';

export function inherits(constructor, parent) {
  Object.defineProperty(constructor, 'super_', { value: parent, writable: true, configurable: true });
  Object.setPrototypeOf(constructor.prototype, parent.prototype);
}

const { isArray } = Array;
const deprecate = (run) => run;
const promisify =
  (run) =>
  (...args) =>
    new Promise((resolve, reject) => run(...args, (error, value) => (error ? reject(error) : resolve(value))));

export { deprecate, format, inspect, isArray, promisify };
export default { deprecate, format, inherits, inspect, isArray, promisify };
