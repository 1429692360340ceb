// FinalizationRegistry without its callbacks, which the language does not promise anyway: V8 would run them when no
// attempt does, and nothing is there to own or to cut them.
import { primordials } from './host.js';

const { construct, defineProperty, TypeError } = primordials;

export function quietFinalization() {
  const Native = FinalizationRegistry;
  const Quiet = new Proxy(Native, {
    __proto__: null,
    construct(_, args, target) {
      if (typeof args[0] !== 'function') throw new TypeError('FinalizationRegistry: cleanup must be callable');
      return construct(Native, [() => {}], target);
    },
  });
  defineProperty(Native.prototype, 'constructor', { __proto__: null, value: Quiet, writable: true, configurable: true, enumerable: false });
  return Quiet;
}
