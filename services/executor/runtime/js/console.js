// Node's console over the captured lines of the current attempt.
import { log, touch } from './host.js';
import { format, formatWithOptions, inspect } from './inspect.js';
import { load } from './modules.js';

// Names of counters and timers may come from events, and live as long as the isolate.
const LABELS_MAX = 1000;
const INDENT_MAX = 1000; // Node's console.group has the same bound

let indentation = '';
const counters = new Map();
const timers = new Map();
const now = Date.now;

// Most lines are plain text: they need no formatter.
function line(args) {
  if (args.length === 1 && typeof args[0] === 'string') return args[0];
  if (args.every((arg) => typeof arg === 'string') && !args[0]?.includes('%')) return args.join(' ');
  return format(...args);
}

function write(level, text) {
  touch();
  log(level, indentation ? text.replace(/^/gm, indentation) : text);
}

function remember(labels, label, value) {
  if (labels.size >= LABELS_MAX && !labels.has(label)) labels.delete(labels.keys().next().value);
  labels.set(label, value);
}

// Node's formatTime: https://github.com/nodejs/node/blob/main/lib/internal/util/debuglog.js
function duration(ms) {
  if (ms < 1000) return `${Number(ms.toFixed(3))}ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds.toFixed(3)}s`;
  const pad = (value) => String(Math.floor(value)).padStart(2, '0');
  const [whole, fraction] = (seconds % 60).toFixed(3).split('.');
  if (seconds < 3600) return `${Math.floor(seconds / 60)}:${whole.padStart(2, '0')}.${fraction} (m:ss.mmm)`;
  return `${Math.floor(seconds / 3600)}:${pad((seconds / 60) % 60)}:${whole.padStart(2, '0')} (h:mm:ss)`;
}

function elapsed(label, data) {
  const start = timers.get(label);
  if (start === undefined) return false;
  const text = `${label}: ${duration(now() - start)}`;
  write('log', data.length ? `${text} ${line(data)}` : text);
  return true;
}

// The columns of console.table, as Node finds them: the index, one for each property name, and one for plain values.
function table(rows, properties) {
  const cell = (value) => inspect(value, { depth: value !== null && typeof value === 'object' && !Array.isArray(value) && Object.keys(value).length > 2 ? -1 : 0, maxArrayLength: 3, breakLength: Infinity, colors: false });
  const isMap = rows instanceof Map;
  const isSet = rows instanceof Set;
  const keys = isMap || isSet ? Array.from({ length: rows.size }, (_, index) => `${index}`) : Object.keys(rows);
  const index = isMap || isSet ? '(iteration index)' : '(index)';
  if (isMap) {
    const pairs = [...rows];
    return drawn([index, 'Key', 'Values'], [keys, pairs.map(([key]) => cell(key)), pairs.map(([, value]) => cell(value))]);
  }
  const values = isSet ? [...rows] : keys.map((key) => rows[key]);
  if (isSet) return drawn([index, 'Values'], [keys, values.map(cell)]);
  const columns = new Map((properties ?? []).map((name) => [`${name}`, []]));
  const plain = [];
  values.forEach((row, at) => {
    if (row === null || (typeof row !== 'object' && typeof row !== 'function')) {
      plain[at] = cell(row);
      return;
    }
    for (const name of properties ?? Object.keys(row)) {
      if (!columns.has(name)) columns.set(name, []);
      if (Object.hasOwn(row, name)) columns.get(name)[at] = cell(row[name]);
    }
  });
  const head = [index, ...columns.keys()];
  const body = [keys, ...columns.values()];
  if (plain.length) {
    head.push('Values');
    body.push(plain);
  }
  return drawn(head, body);
}

const width = (text) => Array.from(text).reduce((sum, character) => sum + (/[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Extended_Pictographic}/u.test(character) ? 2 : 1), 0);

// Node's lib/internal/cli_table.js draws these.
function drawn(head, columns) {
  const height = Math.max(...columns.map((column) => column.length));
  const widths = head.map((name, at) => 2 + Math.max(width(name), ...Array.from({ length: height }, (_, row) => width(columns[at][row] ?? ''))));
  const divider = widths.map((size) => '─'.repeat(size));
  const row = (cells) => '│' + cells.map((text, at) => ` ${text}${' '.repeat(widths[at] - width(text) - 1)}`).join('│') + '│';
  const lines = [`┌${divider.join('┬')}┐`, row(head), `├${divider.join('┼')}┤`];
  for (let at = 0; at < height; at++) lines.push(row(columns.map((column) => column[at] ?? '')));
  lines.push(`└${divider.join('┴')}┘`);
  return lines.join('\n');
}

// Unknown and repeated labels are process warnings in Node, not lines of its console; here they are nothing.
const methods = {
  log: (...args) => write('log', line(args)),
  info: (...args) => write('info', line(args)),
  debug: (...args) => write('debug', line(args)),
  warn: (...args) => write('warn', line(args)),
  error: (...args) => write('error', line(args)),
  trace(...args) {
    const trace = { name: 'Trace', message: args.length ? line(args) : '' };
    Error.captureStackTrace(trace, methods.trace);
    write('error', trace.stack);
  },
  dir: (value, options) => write('log', inspect(value, { customInspect: false, ...options })),
  dirxml: (...args) => write('log', line(args)),
  assert(condition, ...args) {
    if (condition) return;
    if (typeof args[0] === 'string') args[0] = `Assertion failed: ${args[0]}`;
    else args.unshift('Assertion failed');
    write('warn', line(args));
  },
  count(label = 'default') {
    const key = `${label}`;
    remember(counters, key, (counters.get(key) ?? 0) + 1);
    write('log', `${key}: ${counters.get(key)}`);
  },
  countReset(label = 'default') {
    counters.delete(`${label}`);
  },
  time(label = 'default') {
    const key = `${label}`;
    touch();
    if (!timers.has(key)) remember(timers, key, now());
  },
  timeLog(label = 'default', ...data) {
    elapsed(`${label}`, data);
  },
  timeEnd(label = 'default') {
    if (elapsed(`${label}`, [])) timers.delete(`${label}`);
  },
  group(...args) {
    if (args.length) write('log', line(args));
    if (indentation.length < INDENT_MAX) indentation += '  ';
  },
  groupEnd() {
    indentation = indentation.slice(0, -2);
  },
  table(rows, properties) {
    if (properties !== undefined && !Array.isArray(properties)) throw load('web/argument_errors.js').invalidType('properties', 'an instance of Array', properties);
    if (rows === null || typeof rows !== 'object') write('log', line([rows]));
    else write('log', table(rows, properties));
  },
};
methods.groupCollapsed = methods.group;

// An attempt that left a group open must not indent the lines of the next one.
export function resetConsole() {
  indentation = '';
}

export const console = { ...methods };
