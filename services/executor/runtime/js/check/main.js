// What is told about the text of a script before it is loaded: evaluated only in workers that check code, in an isolate
// where nothing of the script has run yet.

import { parse, tokTypes, tokenizer } from 'acorn';
import { asBody } from '../source.js';
import { readHandlers } from './handlers.js';
import { literalKeys } from './keys.js';
import { logged } from './logging.js';
import { fetchesNotAwaited } from './promises.js';
import { readRoles } from './roles.js';
import { readScopes } from './scopes.js';
import { unknownSettings } from './settings.js';

// More would bury the first ones.
const WARNINGS_MAX = 50;
const MEANT_MAX = 20;
const TOKEN_CHARS_MAX = 40;
const OPTIONS = { ecmaVersion: 'latest', sourceType: 'script', allowReturnOutsideFunction: true, allowAwaitOutsideFunction: false };

// Finds lines as JavaScript, and so V8, counts them: besides \n, \r\n and \r there are two that editors may not show.
class Lines {
  constructor(text) {
    this.starts = [0];
    for (const { index, 0: end } of text.matchAll(/\r\n?|[\n\u2028\u2029]/g)) this.starts.push(index + end.length);
  }

  place(offset) {
    let low = 0;
    let high = this.starts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.starts[middle] <= offset) low = middle;
      else high = middle;
    }
    return { line: low + 1, column: offset - this.starts[low] + 1 };
  }
}

const CLOSED_BY = new Map([
  [tokTypes.braceL, '}'],
  [tokTypes.dollarBraceL, '}'],
  [tokTypes.parenL, ')'],
  [tokTypes.bracketL, ']'],
]);
const CLOSES = new Set([tokTypes.braceR, tokTypes.parenR, tokTypes.bracketR]);

// The innermost bracket that is never closed: {text, start}, or undefined.
function openBracket(text) {
  const open = [];
  try {
    for (const token of tokenizer(text, OPTIONS)) {
      if (CLOSED_BY.has(token.type)) open.push({ text: text.slice(token.start, token.end), start: token.start });
      else if (CLOSES.has(token.type)) open.pop();
    }
  } catch {
    return undefined; // the tokenizer alone can't always tell a division from a regular expression
  }
  return open.at(-1);
}

function syntaxError(error, text, lines) {
  const message = error.message.replace(/ \(\d+:\d+\)$/, '');
  const place = lines.place(error.pos);
  const told = { ...place, message, generic: message === 'Unexpected token', atEnd: false };
  if (!told.generic) return told;
  const token = text.slice(error.pos, Math.max(error.raisedAt, error.pos + 1)).slice(0, TOKEN_CHARS_MAX);
  if (token.trim()) return { ...told, message: `Unexpected token '${token}'` };
  const open = openBracket(text);
  const at = open && lines.place(open.start);
  const hint = open ? `: the ${open.text} of line ${at.line}, column ${at.column} is never closed` : '';
  return { ...told, message: `Unexpected end of input${hint}`, atEnd: true };
}

function* warnings(tree, handlers, definedNames) {
  const roles = readRoles(tree.nodes, handlers.functions);
  yield* literalKeys(tree.nodes);
  yield* logged(tree.nodes, roles.roles);
  yield* fetchesNotAwaited(tree.nodes);
  yield* unknownSettings(roles, definedNames);
}

function analysed(text, lines, definedNames) {
  const tree = readScopes(parse(text, OPTIONS));
  const handlers = readHandlers(tree);
  const found = [...warnings(tree, handlers, definedNames)].sort((a, b) => a.start - b.start);
  return {
    warnings: found.slice(0, WARNINGS_MAX).map(({ rule, message, start }) => ({ rule, message: `${message}.`.replace(/\?\.$/, '?'), ...lines.place(start) })),
    meant: handlers.meant.slice(0, MEANT_MAX).map(({ name, handler, start, references }) => ({ name, handler, references, ...lines.place(start) })),
  };
}

// Takes a line of JSON with the names of the settings, then the code. Answers JSON: {warnings, meant}, {syntax} with
// what acorn has against it, or {failed} where the code is too much for us.
export function check(input) {
  const end = input.indexOf('\n');
  const text = asBody(input.slice(end + 1));
  const lines = new Lines(text);
  try {
    return JSON.stringify(analysed(text, lines, JSON.parse(input.slice(0, end))));
  } catch (error) {
    if (error instanceof SyntaxError && typeof error.pos === 'number') return JSON.stringify({ syntax: syntaxError(error, text, lines) });
    return JSON.stringify({ failed: `${error}`.slice(0, 200) });
  }
}
