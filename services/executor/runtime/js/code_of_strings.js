// `eval` and the constructors of functions, which the operator may forbid. V8's own switch would also stop us, who
// compile scripts and modules in the same context; so all ways to the originals are closed instead.
import { primordials } from './host.js';
import { builtins } from './modules.js';

const { defineProperty, getPrototypeOf } = primordials;
const { setPrototypeOf } = Reflect;
const { EvalError } = globalThis;

function refuse() {
  throw new EvalError('Code generation from strings disallowed for this context');
}

const closed = (Native) => new Proxy(Native, { __proto__: null, apply: refuse, construct: refuse });
const put = (object, name, value) => defineProperty(object, name, { __proto__: null, value, writable: true, configurable: true, enumerable: false });

export function forbidCodeOfStrings() {
  const Closed = closed(Function);
  put(Function.prototype, 'constructor', Closed);
  for (const other of [async function () {}, function* () {}, async function* () {}]) {
    const prototype = getPrototypeOf(other);
    // They inherit from the original of Function.
    setPrototypeOf(prototype.constructor, Closed);
    put(prototype, 'constructor', closed(prototype.constructor));
  }
  const closedEval = () => refuse();
  defineProperty(closedEval, 'name', { __proto__: null, value: 'eval', configurable: true });
  for (const holder of [globalThis, builtins]) {
    put(holder, 'Function', Closed);
    put(holder, 'eval', closedEval);
  }
}
