// Whole events and settings that the code writes to its console.

import { SETTINGS } from './roles.js';
import { bindingOf, isGlobal, propertyName } from './scopes.js';

// What shows all of its first argument, under the object that it hangs on.
const SHOWS = { JSON: ['stringify'], Object: ['entries', 'values', 'assign', 'fromEntries'], _: ['cloneDeep', 'clone', 'toPairs'] };

const isConsoleMethod = (node) => node?.type === 'MemberExpression' && isGlobal(node.object, 'console');

// `console.log`, also as `const log = console.log`.
function consoleMethod(callee) {
  if (isConsoleMethod(callee)) return propertyName(callee);
  const values = callee.type === 'Identifier' ? (bindingOf(callee)?.values ?? []) : [];
  const one = values.find(isConsoleMethod);
  return one && propertyName(one);
}

function shown({ callee, arguments: given }) {
  if (['String', 'structuredClone'].some((name) => isGlobal(callee, name))) return given.slice(0, 1);
  if (callee.type !== 'MemberExpression') return [];
  const owner = Object.keys(SHOWS).find((name) => isGlobal(callee.object, name));
  if (!owner || !SHOWS[owner].includes(propertyName(callee))) return [];
  if (propertyName(callee) === 'assign') return given;
  // A replacer may leave out what must not be seen.
  const replaced = owner === 'JSON' && given[1] && !(given[1].type === 'Literal' && given[1].value === null) && !isGlobal(given[1], 'undefined');
  return replaced ? [] : given.slice(0, 1);
}

// The parts of an expression that show in its value.
function parts(node) {
  switch (node?.type) {
    case 'TemplateLiteral':
      return node.expressions;
    case 'BinaryExpression':
      return node.operator === '+' ? [node.left, node.right] : [];
    case 'LogicalExpression':
      return [node.left, node.right];
    case 'ConditionalExpression':
      return [node.consequent, node.alternate];
    case 'ObjectExpression':
      return node.properties.map((one) => one.value ?? one.argument);
    case 'ArrayExpression':
      return node.elements;
    case 'SpreadElement':
    case 'AwaitExpression':
      return [node.argument];
    case 'SequenceExpression':
      return node.expressions.slice(-1);
    case 'AssignmentExpression':
      return [node.right];
    case 'CallExpression':
      return shown(node);
    default:
      return [];
  }
}

export function* logged(nodes, roles) {
  for (const node of nodes) {
    if (node.type !== 'CallExpression') continue;
    const method = consoleMethod(node.callee);
    if (method === undefined) continue;
    const found = new Set();
    const rest = method === 'assert' ? node.arguments.slice(1) : [...node.arguments];
    for (const part of rest) {
      if (roles.has(part)) found.add(roles.get(part) === SETTINGS ? 'settings' : 'event');
      else rest.push(...parts(part));
    }
    for (const what of found) yield warning(what, node);
  }
}

function warning(what, node) {
  const whole = what === 'settings' ? 'all settings' : 'the whole event';
  return { rule: `logs-${what}`, start: node.start, message: `This logs ${whole}. Logs are kept and shown: log only what you need` };
}
