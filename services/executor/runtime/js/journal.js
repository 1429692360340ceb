// The last console lines, in memory that outlives this process: an attempt that is cut, or that runs out of memory,
// can't hand over what it has logged. journal.py reads them then.
//
// Two halves, each filled in its turn. An entry is sequence number (two units), length, and that many units of
// `level milliseconds text`. The count of a half's units is written last, so that what it covers is whole.

const HALVES_AT = 4096; // in bytes, after the page of pump.js
const HALF_UNITS = 16 * 1024;
const COUNTS_AT = 10; // in the cell, in units of 4 bytes: how much of each half is in use, then which is the newer one
const NEWER = 12;
const HEAD_UNITS = 3;
// One line must not drive out all others.
const LINE_UNITS_MAX = 2000;
const MARK = '… [cut]';

const { apply } = Reflect;
const { charCodeAt, slice } = String.prototype;

let counts = null;
let units = null;

export function bindJournal(buffer, offset) {
  counts = new Int32Array(buffer, offset, HALVES_AT / 4);
  units = new Uint16Array(buffer, offset + HALVES_AT, 2 * HALF_UNITS);
}

export function keepLine(seq, level, time, text) {
  const line = `${level} ${time} ${text.length > LINE_UNITS_MAX ? apply(slice, text, [0, LINE_UNITS_MAX]) + MARK : text}`;
  const size = line.length;
  let half = counts[NEWER];
  if (counts[COUNTS_AT + half] + HEAD_UNITS + size > HALF_UNITS) {
    half = 1 - half;
    counts[COUNTS_AT + half] = 0;
    counts[NEWER] = half;
  }
  let at = half * HALF_UNITS + counts[COUNTS_AT + half];
  units[at] = seq;
  units[at + 1] = seq >>> 16;
  units[at + 2] = size;
  at += HEAD_UNITS;
  for (let i = 0; i < size; i += 1) units[at + i] = apply(charCodeAt, line, [i]);
  counts[COUNTS_AT + half] += HEAD_UNITS + size;
}
