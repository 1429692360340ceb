// What lazy modules and packages may ask of the host. They are evaluated after user code has run, and call things that it
// may have replaced, so it can get hold of all that they are given: each of these does no more than a script may do
// anyway, and for the attempt whose turn it is. Whoever had host.js itself could end other events as it likes.
import { clearTimer, enqueueTurn, hostSync, primordials, setTimer, touch } from './host.js';
import { hostFetch } from './requests.js';

const { uncurry } = primordials;
const { freeze } = Object;
const tokens = new WeakMap();
const tokenGet = uncurry(WeakMap.prototype.get);
const tokenSet = uncurry(WeakMap.prototype.set);

// Stands for an attempt, and is good for nothing but comparison.
function tokenOf(attempt) {
  if (attempt === null) return null;
  let token = tokenGet(tokens, attempt);
  if (token === undefined) tokenSet(tokens, attempt, (token = freeze({ __proto__: null })));
  return token;
}

export const capabilities = freeze({
  __proto__: null,
  clearTimer,
  hostFetch,
  hostSync,
  primordials,
  setTimer,
  touch: () => tokenOf(touch()),
  // In a later turn of the attempt whose turn it is.
  enqueueTurn(token, run) {
    const attempt = touch();
    if (attempt === null || tokenOf(attempt) !== token) throw new primordials.TypeError('not the attempt that runs');
    enqueueTurn(attempt, run);
  },
});
