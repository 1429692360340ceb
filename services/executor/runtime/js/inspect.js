// Node's own util.inspect and util.format (node-inspect-extracted: Node's sources, with its primordials emulated).
// It takes some milliseconds to evaluate, so it waits for the first value that needs it.
import { load, provide } from './modules.js';

const util = () => load('node-inspect-extracted');

export const INSPECT = Symbol.for('nodejs.util.inspect.custom');
export const inspect = (value, options) => util().inspect(value, options);
export const format = (...args) => util().format(...args);

provide('inspect.js', { INSPECT, inspect, format });
