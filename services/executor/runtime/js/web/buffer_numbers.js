// Buffer's numbers, with Node's checks: npm's `buffer` takes any offset, and says other things of a wrong one.
import { invalidType, outOfRange, requireNumber } from './argument_errors.js';

const BYTES_OF_INTEGERS_MAX = 6; // what a double holds exactly
const viewOf = (buffer) => new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);

function wrongPlace(value, most, name) {
  if (Math.floor(value) !== value) {
    requireNumber(value, name ?? 'offset');
    return outOfRange(name ?? 'offset', 'an integer', value);
  }
  if (most < 0) return Object.assign(new RangeError('Attempt to access memory outside buffer bounds'), { code: 'ERR_BUFFER_OUT_OF_BOUNDS' });
  return outOfRange(name ?? 'offset', `>= ${name ? 1 : 0} and <= ${most}`, value);
}

function requirePlace(buffer, offset, bytes) {
  requireNumber(offset, 'offset');
  if (buffer[offset] === undefined || buffer[offset + bytes - 1] === undefined) throw wrongPlace(offset, buffer.length - bytes);
}

function requireRange(value, min, max, bytes) {
  if (value <= max && value >= min) return;
  // NaN is written as 0.
  if (value !== value) return;
  const n = typeof min === 'bigint' ? 'n' : '';
  const bits = bytes * 8;
  const wide = min < 0 ? `>= -(2${n} ** ${bits - 1}${n}) and < 2${n} ** ${bits - 1}${n}` : `>= 0${n} and < 2${n} ** ${bits}${n}`;
  throw outOfRange('value', bytes > 4 ? wide : `>= ${min} and <= ${max}`, value);
}

const methods = {};

function define(names, read, write) {
  for (const name of names) {
    methods[`read${name}`] = { [`read${name}`]: read }[`read${name}`];
    methods[`write${name}`] = { [`write${name}`]: write }[`write${name}`];
  }
}

const spellings = (name) => (name.startsWith('UInt') ? [name, `Uint${name.slice(4)}`] : name.startsWith('BigUInt') ? [name, `BigUint${name.slice(7)}`] : [name]);

function defineFixed(kind, bytes, get, set, range) {
  const endings = bytes === 1 ? [['', true]] : [['LE', true], ['BE', false]];
  for (const [ending, little] of endings) {
    const [read, write] = [DataView.prototype[get], DataView.prototype[set]];
    define(
      spellings(`${kind}${ending}`),
      function (offset = 0) {
        requirePlace(this, offset, bytes);
        return Reflect.apply(read, viewOf(this), [offset, little]);
      },
      function (value, offset = 0) {
        const number = kind.startsWith('Big') ? value : +value;
        if (range) requireRange(number, ...range, bytes);
        requirePlace(this, offset, bytes);
        Reflect.apply(write, viewOf(this), [offset, number, little]);
        return offset + bytes;
      },
    );
  }
}

for (const bytes of [1, 2, 4]) {
  const bits = bytes * 8;
  defineFixed(`UInt${bits}`, bytes, `getUint${bits}`, `setUint${bits}`, [0, 2 ** bits - 1]);
  defineFixed(`Int${bits}`, bytes, `getInt${bits}`, `setInt${bits}`, [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1]);
}
defineFixed('BigUInt64', 8, 'getBigUint64', 'setBigUint64', [0n, 2n ** 64n - 1n]);
defineFixed('BigInt64', 8, 'getBigInt64', 'setBigInt64', [-(2n ** 63n), 2n ** 63n - 1n]);
defineFixed('Float', 4, 'getFloat32', 'setFloat32');
defineFixed('Double', 8, 'getFloat64', 'setFloat64');

function requireBytes(bytes) {
  if (bytes === undefined) throw invalidType('byteLength', 'of type number', bytes);
  requireNumber(bytes, 'byteLength');
  if (!(bytes >= 1 && bytes <= BYTES_OF_INTEGERS_MAX && Number.isInteger(bytes))) throw wrongPlace(bytes, BYTES_OF_INTEGERS_MAX, 'byteLength');
}

// Of 1 to 6 bytes; arithmetic instead of shifts, which end at 32 bits.
function readInteger(buffer, offset, bytes, little, signed) {
  if (offset === undefined) throw invalidType('offset', 'of type number', offset);
  requireBytes(bytes);
  requirePlace(buffer, offset, bytes);
  let value = 0;
  for (let i = 0; i < bytes; i += 1) value = value * 256 + buffer[offset + (little ? bytes - 1 - i : i)];
  return signed && value >= 2 ** (bytes * 8 - 1) ? value - 2 ** (bytes * 8) : value;
}

function writeInteger(buffer, value, offset, bytes, little, signed) {
  requireBytes(bytes);
  const number = +value;
  const half = 2 ** (bytes * 8 - 1);
  requireRange(number, signed ? -half : 0, signed ? half - 1 : 2 * half - 1, bytes);
  if (offset === undefined) throw invalidType('offset', 'of type number', offset);
  requirePlace(buffer, offset, bytes);
  let rest = Math.trunc(number) || 0;
  if (rest < 0) rest += 2 * half;
  for (let i = 0; i < bytes; i += 1) {
    buffer[offset + (little ? i : bytes - 1 - i)] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  return offset + bytes;
}

for (const signed of [false, true]) {
  for (const [ending, little] of [['LE', true], ['BE', false]]) {
    define(
      spellings(`${signed ? 'Int' : 'UInt'}${ending}`),
      function (offset, byteLength) {
        return readInteger(this, offset, byteLength, little, signed);
      },
      function (value, offset, byteLength) {
        return writeInteger(this, value, offset, byteLength, little, signed);
      },
    );
  }
}

export { methods as numberMethods };
