// What a handler may throw, and what becomes of it: the five classes that say how an event ended, and the
// description of any thrown value. Every property is read once and under guard, since it may be a getter.

import { capped, primordials, quote } from './host.js';
import { isNetworkFailure } from './web/network_failures.js';

const { isPrototypeOf, stringify } = primordials;

const MESSAGE_CHARS_MAX = 8 * 1024;
const STACK_CHARS_MAX = 16 * 1024;
const NAME_CHARS_MAX = 256;

const named = (name) => {
  const type = { [name]: class extends Error {} }[name];
  Object.defineProperty(type.prototype, 'name', { value: name, writable: true, configurable: true });
  return type;
};

export const EventNotSupported = named('EventNotSupported');
export const InvalidEventPayload = named('InvalidEventPayload');
export const ValidationError = named('ValidationError');
export const RetryError = named('RetryError');
export const DropEvent = named('DropEvent');
export const errorClasses = { EventNotSupported, InvalidEventPayload, ValidationError, RetryError, DropEvent };

const prototypes = {
  __proto__: null,
  eventNotSupported: EventNotSupported.prototype,
  invalidEventPayload: InvalidEventPayload.prototype,
  validationError: ValidationError.prototype,
  retryError: RetryError.prototype,
  dropEvent: DropEvent.prototype,
};

// Subclasses classify as their parent does; an object that only bears the name does not.
function kindOf(thrown) {
  try {
    if (isPrototypeOf(prototypes.retryError, thrown)) return 'RetryError';
    if (isPrototypeOf(prototypes.dropEvent, thrown)) return 'DropEvent';
    if (isPrototypeOf(prototypes.eventNotSupported, thrown)) return 'EventNotSupported';
    if (isPrototypeOf(prototypes.invalidEventPayload, thrown)) return 'InvalidEventPayload';
    if (isPrototypeOf(prototypes.validationError, thrown)) return 'ValidationError';
  } catch {
    // A Proxy whose trap throws is no class of ours.
  }
  return 'Error';
}

function read(object, key) {
  try {
    return object[key];
  } catch {
    return undefined;
  }
}

const isStatus = (value) => typeof value === 'number' && value >= 100 && value <= 599 && value % 1 === 0;

function statusOf(thrown) {
  const own = read(thrown, 'status');
  if (isStatus(own)) return own;
  const code = read(thrown, 'statusCode');
  if (isStatus(code)) return code;
  const response = read(thrown, 'response');
  if (response === null || response === undefined) return 0;
  const status = read(response, 'status');
  if (isStatus(status)) return status;
  const responseCode = read(response, 'statusCode');
  return isStatus(responseCode) ? responseCode : 0;
}

function isNetwork(thrown) {
  try {
    return isNetworkFailure(thrown) === true;
  } catch {
    return false;
  }
}

function asText(thrown) {
  try {
    if (typeof thrown !== 'object' || thrown === null) return primordials.String(thrown);
    return stringify(thrown) ?? primordials.String(thrown);
  } catch {
    return 'a value that can not be shown';
  }
}

const failure = (kind, name, message, stack, status, network) =>
  `{"kind":${quote(kind)},"name":${quote(capped(name, NAME_CHARS_MAX))},` +
  `"message":${quote(capped(message, MESSAGE_CHARS_MAX))},"stack":${quote(capped(stack, STACK_CHARS_MAX))},` +
  `"status":${status},"network":${network}}`;

// The JSON text that tells the host of anything that was thrown.
export function describe(thrown) {
  if ((typeof thrown !== 'object' && typeof thrown !== 'function') || thrown === null) {
    return failure('Error', 'Error', asText(thrown), '', 0, false);
  }
  const name = read(thrown, 'name');
  const message = read(thrown, 'message');
  const stack = read(thrown, 'stack');
  return failure(
    kindOf(thrown),
    typeof name === 'string' && name !== '' ? name : 'Error',
    typeof message === 'string' ? message : asText(thrown),
    typeof stack === 'string' ? stack : '',
    statusOf(thrown),
    isNetwork(thrown),
  );
}

export const timeout = () => failure('Timeout', 'Timeout', 'the handler did not settle in time', '', 0, false);

export const notDefined = (handler) =>
  failure('EventNotSupported', 'EventNotSupported', `${handler} is not defined`, '', 0, false);
