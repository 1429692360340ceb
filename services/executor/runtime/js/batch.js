// What onBatch says of its events: one {status, errormessage} for each, in order. The script may return anything, so
// each property is read once and under guard; reading happens within the attempt and its limits.

import { capped, quote } from './host.js';

const { isArray } = Array;

// A batch has up to 500 of them.
const MESSAGE_CHARS_MAX = 1024;
const NOT_THE_SHAPE = '"results":null';

const isStatus = (value) => typeof value === 'number' && value >= 100 && value <= 599 && value % 1 === 0;

// Answers `"results":[[status,"message"],...]`, or null for them where the value has another length or shape. Nothing
// where nothing was returned.
export function resultsDetail(value, count) {
  if (value === undefined || value === null) return '';
  try {
    if (!isArray(value) || value.length !== count) return NOT_THE_SHAPE;
    let text = '';
    for (let i = 0; i < count; i += 1) {
      const one = value[i];
      const status = one.status;
      if (!isStatus(status)) return NOT_THE_SHAPE;
      const message = one.errormessage;
      text += `${i === 0 ? '' : ','}[${status},${typeof message === 'string' ? quote(capped(message, MESSAGE_CHARS_MAX)) : '""'}]`;
    }
    return `"results":[${text}]`;
  } catch {
    return NOT_THE_SHAPE;
  }
}
