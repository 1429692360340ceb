// Which expressions stand for the whole event, all events of a batch, or all settings: the parameters of handlers, and
// wherever the code passes them on under whatever name.

import { bindingOf, functionsOf, parentOf, propertyName } from './scopes.js';

export const EVENT = 'event';
export const EVENTS = 'events';
export const SETTINGS = 'settings';

const EACH = new Set(['map', 'flatMap', 'forEach', 'filter', 'find', 'some', 'every']);

class Flow {
  constructor() {
    this.roles = new Map(); // expression -> role
    this.destructured = []; // [{pattern, source}]: an object pattern that takes settings apart
    this.bindings = new Map(); // binding -> role
    this.calls = []; // [{binding, argument}]: settings or not, what parameters are given
    this.rest = [];
  }

  // A pattern, such as a parameter, is given something of this role.
  into(target, role) {
    if (!target) return;
    if (target.type === 'AssignmentPattern') this.into(target.left, role);
    else if (target.type === 'Identifier') this.name(bindingOf(target), role);
    else if (target.type === 'ObjectPattern' && role === SETTINGS) this.destructured.push(target);
  }

  name(binding, role) {
    // A name that is given something else as well may hold other settings than the handler was given.
    if (!binding || this.bindings.has(binding) || (role === SETTINGS && binding.writes)) return;
    this.bindings.set(binding, role);
    for (const one of binding.references) this.value(one, role);
  }

  value(expression, role) {
    if (this.roles.has(expression)) return;
    this.roles.set(expression, role);
    this.rest.push(expression);
  }

  run() {
    while (this.rest.length) {
      const node = this.rest.pop();
      this.follow(node, parentOf(node), this.roles.get(node));
    }
  }

  follow(node, parent, role) {
    switch (parent.type) {
      case 'LogicalExpression':
      case 'AwaitExpression':
        return this.value(parent, role);
      case 'ConditionalExpression':
        return parent.test === node ? undefined : this.value(parent, role);
      case 'VariableDeclarator':
        return parent.init === node ? this.into(parent.id, role) : undefined;
      case 'AssignmentExpression':
        return parent.right === node && parent.operator === '=' ? this.into(parent.left, role) : undefined;
      case 'CallExpression':
      case 'NewExpression':
        return this.argument(parent, parent.arguments.indexOf(node), (param) => this.into(param, role));
      case 'Property':
        return parent.value === node ? this.property(parent, role) : undefined;
      case 'ForOfStatement':
        return parent.right === node && role === EVENTS ? this.into(parent.left.declarations?.[0].id ?? parent.left, EVENT) : undefined;
      case 'MemberExpression':
        return parent.object === node && role === EVENTS ? this.element(parent) : undefined;
      default:
        return undefined;
    }
  }

  argument(call, index, give) {
    if (index < 0 || call.arguments.slice(0, index).some((one) => one.type === 'SpreadElement')) return;
    for (const one of functionsOf(call.callee)) if (one.params[index]) give(one.params[index]);
  }

  // `send({ event, settings })` for a `function send({ event, settings })`.
  property(property, role) {
    const object = parentOf(property);
    const call = parentOf(object);
    if (object.type !== 'ObjectExpression' || call.type !== 'CallExpression') return;
    this.argument(call, call.arguments.indexOf(object), (param) => {
      if (param.type !== 'ObjectPattern') return;
      const name = propertyName(property);
      const taken = param.properties.find((one) => one.type === 'Property' && propertyName(one) === name);
      this.into(taken?.value, role);
    });
  }

  // `events[0]`, `events.map((event) => ...)`.
  element(member) {
    const call = parentOf(member);
    if (member.computed && member.property.type !== 'Literal') this.value(member, EVENT);
    else if (member.computed && typeof member.property.value === 'number') this.value(member, EVENT);
    else if (call.type === 'CallExpression' && call.callee === member && EACH.has(propertyName(member))) {
      for (const one of functionsOf(call.arguments[0])) this.into(one.params[0], EVENT);
    }
  }
}

// Parameters that some call gives other settings than a handler's own, such as `send(event, { ...settings, region })`.
function mixed(nodes, flow) {
  const found = new Set();
  for (const call of nodes) {
    if (call.type !== 'CallExpression') continue;
    for (const one of functionsOf(call.callee)) {
      one.params.forEach((param, index) => {
        const name = bindingOf(param.type === 'AssignmentPattern' ? param.left : param);
        if (name && flow.bindings.get(name) === SETTINGS && flow.roles.get(call.arguments[index]) !== SETTINGS) found.add(name);
      });
    }
  }
  return found;
}

// Answers {roles: Map(expression -> role), destructured: [patterns of settings], mixed: Set(bindings)}.
export function readRoles(nodes, handlers) {
  const flow = new Flow();
  for (const [handler, name] of handlers) {
    flow.into(handler.params[0], name === 'onBatch' ? EVENTS : EVENT);
    flow.into(handler.params[1], SETTINGS);
  }
  flow.run();
  return { roles: flow.roles, destructured: flow.destructured, mixed: mixed(nodes, flow) };
}
