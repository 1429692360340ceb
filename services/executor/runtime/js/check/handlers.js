// The functions that the executor will call, and those that somebody may have wanted it to call.

import { HANDLERS, meantHandler } from './names.js';
import { functionsOf, isFunction, isGlobal, propertyName } from './scopes.js';

const isExports = (node) =>
  isGlobal(node, 'exports') ||
  isGlobal(node, 'globalThis') ||
  (node.type === 'MemberExpression' && isGlobal(node.object, 'module') && propertyName(node) === 'exports');

// A wrapper's argument that looks like a handler: `const onTrack = retrying(async (event, settings) => ...)`.
const wrapped = (value) => (value.type === 'CallExpression' ? value.arguments.filter((one) => isFunction(one) && one.params.length === 2) : []);

// [{name, value, place}] of everything that is assigned to an export or a name of the top level.
function defined({ nodes, root }) {
  const found = [];
  for (const [name, { values }] of root.bindings) for (const value of values) found.push({ name, value, place: value });
  for (const node of nodes) {
    if (node.type !== 'AssignmentExpression' || node.left.type !== 'MemberExpression') continue;
    if (isExports(node.left.object)) found.push({ name: propertyName(node.left), value: node.right, place: node });
    if (!isExports(node.left) || node.right.type !== 'ObjectExpression') continue;
    for (const one of node.right.properties) {
      if (one.type === 'Property') found.push({ name: propertyName(one), value: one.value, place: one });
    }
  }
  return found.filter(({ name }) => name !== undefined);
}

// Answers {functions: Map(function -> handler's name), meant: [{name, handler, start}]}.
export function readHandlers(tree) {
  const functions = new Map();
  const meant = [];
  for (const { name, value, place } of defined(tree)) {
    if (HANDLERS.includes(name)) {
      for (const one of [...functionsOf(value), ...wrapped(value)]) functions.set(one, name);
    } else if (functionsOf(value).length && meantHandler(name)) {
      meant.push({ name, handler: meantHandler(name), start: place.start, references: tree.root.bindings.get(name)?.references.length ?? 0 });
    }
  }
  for (const node of tree.nodes) if (isHandlerByName(node) && !functions.has(node)) functions.set(node, '');
  return { functions, meant };
}

// `(event, settings) => ...` wherever it stands, such as in a class or a table of functions.
function isHandlerByName(node) {
  return isFunction(node) && node.params.length === 2 && ['event', 'settings'].every((name, i) => node.params[i].name === name);
}
