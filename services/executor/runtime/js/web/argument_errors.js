// Node's errors about arguments, with its codes and words.
import { inspect } from '../inspect.js';

const SHOWN_CHARS_MAX = 28; // of a primitive; Node's figure

const withCode = (error, code) => Object.assign(error, { code });

// The end of such a message: what came instead.
export function received(value) {
  if (value === null || value === undefined) return ` Received ${value}`;
  if (typeof value === 'function') return ` Received function ${value.name}`;
  if (typeof value === 'object') {
    const name = value.constructor?.name;
    return name ? ` Received an instance of ${name}` : ` Received ${inspect(value, { depth: -1 })}`;
  }
  const shown = inspect(value);
  return ` Received type ${typeof value} (${shown.length > SHOWN_CHARS_MAX ? `${shown.slice(0, 25)}...` : shown})`;
}

// `what` is 'The "name" argument' or the like, `expected` the rest of the sentence, such as 'of type number'.
export const invalidArgument = (what, expected, value) =>
  withCode(new TypeError(`${what} must be ${expected}.${received(value)}`), 'ERR_INVALID_ARG_TYPE');

export const invalidType = (name, expected, value) => invalidArgument(`The "${name}" argument`, expected, value);

export const invalidValue = (name, value, reason = 'is invalid') =>
  withCode(new TypeError(`The argument '${name}' ${reason}. Received ${inspect(value)}`), 'ERR_INVALID_ARG_VALUE');

const separated = (digits) => digits.replace(/(?<=\d)(?=(?:\d{3})+$)/g, '_');

function shownNumber(value) {
  if (typeof value === 'bigint') return `${value > 2n ** 32n || value < -(2n ** 32n) ? separated(`${value}`) : value}n`;
  return Number.isInteger(value) && Math.abs(value) > 2 ** 32 ? separated(`${value}`) : inspect(value);
}

export const outOfRange = (name, range, value) =>
  withCode(new RangeError(`The value of "${name}" is out of range. It must be ${range}. Received ${shownNumber(value)}`), 'ERR_OUT_OF_RANGE');

export function requireNumber(value, name) {
  if (typeof value !== 'number') throw invalidType(name, 'of type number', value);
}

export function requireFunction(value, name) {
  if (typeof value !== 'function') throw invalidType(name, 'of type function', value);
}
