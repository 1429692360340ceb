// Names: handlers that exist, and which known name somebody may have meant.

export const HANDLERS = ['onIdentify', 'onTrack', 'onPage', 'onScreen', 'onGroup', 'onAlias', 'onDelete', 'onBatch'];

// Nobody gets three letters of a name wrong; and of a short one not even two.
const EDITS_MAX = 2;
const SHORT = 5;
// Longer names are compared no further: the table below is quadratic.
const NAME_CHARS_MAX = 64;

// How many letters must be put in, taken out, changed or swapped with their neighbour.
export function distance(a, b) {
  const rows = [Array.from({ length: b.length + 1 }, (_, i) => i)];
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const change = rows[i - 1][j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      row[j] = Math.min(change, rows[i - 1][j] + 1, row[j - 1] + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) row[j] = Math.min(row[j], rows[i - 2][j - 2] + 1);
    }
    rows.push(row);
  }
  return rows[a.length][b.length];
}

const plain = (name) => name.toLowerCase().replace(/[_$-]/g, '');

// The known name that is nearest to this one, or undefined.
export function nearest(name, known) {
  if (name.length > NAME_CHARS_MAX) return undefined;
  let best;
  let edits = (name.length <= SHORT ? 1 : EDITS_MAX) + 1;
  for (const one of known) {
    if (one.length > NAME_CHARS_MAX) continue;
    const found = plain(one) === plain(name) ? 0 : distance(name, one);
    if (found < edits) [best, edits] = [one, found];
  }
  return best;
}

// The handler that a function of this name was meant to be: `ontrack`, `onTrak`, and `track` or `handleTrack`.
export function meantHandler(name) {
  const bare = plain(name).replace(/^handle/, 'on');
  return HANDLERS.find((one) => plain(one) === bare || plain(one) === `on${bare}`) ?? (/^on/i.test(name) ? nearest(name, HANDLERS) : undefined);
}
