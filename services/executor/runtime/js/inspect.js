// Node's own util.inspect and util.format (node-inspect-extracted: Node's sources, with its primordials emulated).
// It takes some milliseconds to evaluate, so it waits for the first value that needs it.
import { text } from 'text:node-inspect-extracted';
import { evaluate } from './evaluate.js';

let loaded;
const util = () => (loaded ??= evaluate(text()));

export const INSPECT = Symbol.for('nodejs.util.inspect.custom');
export const inspect = (value, options) => util().inspect(value, options);
export const format = (...args) => util().format(...args);
export const formatWithOptions = (options, ...args) => util().formatWithOptions(options, ...args);
