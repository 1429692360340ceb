// Settings that are read but not defined.

import { nearest } from './names.js';
import { SETTINGS } from './roles.js';
import { bindingOf, isGlobal, parentOf, propertyName } from './scopes.js';

const INHERITED = new Set(Object.getOwnPropertyNames(Object.prototype));

// [[name, node]] of every setting that the code takes by a name that stands in it.
function* taken(roles, destructured, mixed) {
  for (const [node, role] of roles) {
    if (role !== SETTINGS || mixed.has(bindingOf(node))) continue;
    const parent = parentOf(node);
    if (parent.type === 'MemberExpression' && parent.object === node) yield [propertyName(parent), parent.property];
    const path = pathInGet(parent, node);
    if (path) yield [path.value.split(/[.[]/)[0], path];
  }
  for (const pattern of destructured) {
    for (const one of pattern.properties) if (one.type === 'Property') yield [propertyName(one), one.key];
  }
}

// `_.get(settings, 'name')`
function pathInGet(call, node) {
  if (call.type !== 'CallExpression' || call.arguments[0] !== node || call.callee.type !== 'MemberExpression') return undefined;
  const path = call.arguments[1];
  const isGet = isGlobal(call.callee.object, '_') && ['get', 'has', 'result'].includes(propertyName(call.callee));
  return isGet && path?.type === 'Literal' && typeof path.value === 'string' ? path : undefined;
}

const isAssigned = (key) => {
  const member = parentOf(key);
  const parent = parentOf(member);
  return member.type === 'MemberExpression' && parent.type === 'AssignmentExpression' && parent.left === member;
};

export function* unknownSettings({ roles, destructured, mixed }, definedNames) {
  const found = [...taken(roles, destructured, mixed)].filter(([name]) => name !== undefined);
  // What the code itself puts there is known.
  const known = new Set([...definedNames, ...found.filter(([, key]) => isAssigned(key)).map(([name]) => name)]);
  for (const [name, key] of found) {
    if (known.has(name) || INHERITED.has(name)) continue;
    const meant = nearest(name, definedNames);
    const advice = meant === undefined ? 'define it, or take it out of the code' : `did you mean "${meant}"?`;
    yield { rule: 'unknown-setting', start: key.start, message: `No setting "${name}" is defined, so this is always undefined: ${advice}` };
  }
}
