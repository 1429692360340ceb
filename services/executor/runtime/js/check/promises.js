// Fetches that nobody waits for: when the handler ends, their answers are dropped and their failures with them.
//
// A promise is followed outwards from the call that makes it, until something awaits or returns it, or drops it. What
// code does with a promise that it gives away is not known; it is taken to wait.

import { bindingOf, functionAround, functionsOf, isFunction, isGlobal, parentOf, propertyName } from './scopes.js';

const CHAINS = new Set(['then', 'catch', 'finally']);
const GATHERS = new Set(['all', 'allSettled', 'race', 'any', 'resolve']);
// Callbacks whose promise the array method puts into its result, and those whose promise it drops.
const COLLECTS = new Set(['map', 'flatMap']);
const DROPS = new Set(['forEach']);
const PUTS = new Set(['push', 'unshift', 'add']);

const DROPPED = 'dropped';
const KEPT = 'kept';

const isFetch = ({ callee }) =>
  isGlobal(callee, 'fetch') || (callee.type === 'MemberExpression' && isGlobal(callee.object, 'globalThis') && propertyName(callee) === 'fetch');

// The name of the method that a call calls on this object.
const methodOn = (node, parent) => {
  const call = parentOf(parent);
  return parent.object === node && call.type === 'CallExpression' && call.callee === parent ? propertyName(parent) : undefined;
};

// `new Promise((resolve) => ...)`: what happens in there ends by a call of `resolve`.
function isInExecutor(node) {
  for (let at = functionAround(node); at && isFunction(at); at = functionAround(at)) {
    const parent = parentOf(at);
    if (parent.type === 'NewExpression' && isGlobal(parent.callee, 'Promise')) return true;
  }
  return false;
}

class Follower {
  constructor() {
    this.seen = new Set();
    this.names = new Map(); // binding -> fate
    this.waiting = new Set(); // functions whose promise settles after a fetch
  }

  // Answers KEPT or DROPPED for the promise (or array of promises) that this expression makes.
  fate(start) {
    let node = start;
    for (;;) {
      if (this.seen.has(node)) return KEPT;
      this.seen.add(node);
      const next = this.step(node, parentOf(node));
      if (next === KEPT || next === DROPPED) return next === DROPPED && isInExecutor(node) ? KEPT : next;
      node = next;
    }
  }

  // Where the promise goes from `node`: its fate, or the expression that holds it next.
  step(node, parent) {
    switch (parent.type) {
      case 'AwaitExpression':
      case 'ReturnStatement':
        return this.waits(functionAround(node));
      case 'ArrowFunctionExpression':
        return parent.body === node ? this.waits(parent) : KEPT;
      case 'MemberExpression':
        return this.member(node, parent);
      case 'CallExpression':
        return this.call(node, parent);
      case 'VariableDeclarator':
        return parent.id.type === 'Identifier' ? this.name(bindingOf(parent.id)) : DROPPED;
      case 'AssignmentExpression':
        if (parent.right !== node) return KEPT;
        return parent.left.type === 'Identifier' ? this.name(bindingOf(parent.left)) : KEPT;
      case 'ConditionalExpression':
        return parent.test === node ? DROPPED : parent;
      case 'LogicalExpression':
        return parent.right === node || parentOf(parent).type !== 'ExpressionStatement' ? parent : DROPPED;
      case 'SequenceExpression':
        return parent.expressions.at(-1) === node ? parent : DROPPED;
      case 'ArrayExpression':
      case 'ChainExpression':
        return parent;
      case 'SpreadElement':
        return parentOf(parent).type === 'ArrayExpression' ? parentOf(parent) : KEPT;
      case 'ExpressionStatement':
      case 'UnaryExpression':
      case 'BinaryExpression':
      case 'IfStatement':
      case 'TemplateLiteral':
        return DROPPED;
      default:
        return KEPT;
    }
  }

  member(node, parent) {
    if (parent.object !== node) return KEPT;
    const method = methodOn(node, parent);
    if (CHAINS.has(method)) return parentOf(parent);
    // An array of promises has elements and methods of its own; a promise has nothing but the three.
    const isPromise = node.type === 'CallExpression' && !(node.callee.type === 'MemberExpression' && COLLECTS.has(propertyName(node.callee)));
    return isPromise && !parent.computed ? DROPPED : KEPT;
  }

  call(node, parent) {
    if (parent.callee === node) return KEPT;
    const { callee } = parent;
    if (callee.type !== 'MemberExpression') return KEPT;
    if (isGlobal(callee.object, 'Promise') && GATHERS.has(propertyName(callee))) return parent;
    if (PUTS.has(propertyName(callee)) && callee.object.type === 'Identifier') return this.name(bindingOf(callee.object));
    return KEPT;
  }

  // A name holds the promise: it is kept where one use of the name keeps it.
  name(binding) {
    if (!binding || binding.of) return KEPT;
    if (!this.names.has(binding)) {
      this.names.set(binding, KEPT); // while it is looked at: `chain = chain.then(...)`
      this.names.set(binding, binding.references.some((use) => this.keeps(binding, use)) ? KEPT : DROPPED);
    }
    return this.names.get(binding);
  }

  keeps(binding, use) {
    const parent = parentOf(use);
    if (parent.type !== 'MemberExpression' || parent.object !== use) return this.fate(use) === KEPT;
    const method = methodOn(use, parent);
    if (PUTS.has(method)) return false;
    return isArray(binding) || (CHAINS.has(method) && this.fate(use) === KEPT);
  }

  // The promise of the function around settles after this one, and goes to whoever calls it.
  waits(around) {
    if (around && isFunction(around)) this.waiting.add(around);
    return KEPT;
  }
}

const isArray = ({ values }) => values.some((one) => one.type === 'ArrayExpression');

// What becomes of the promise of a callback: the expression that holds it, KEPT or DROPPED; undefined for none.
function callbackOf(around) {
  const call = parentOf(around);
  if (call.type !== 'CallExpression') return undefined;
  if (call.callee === around) return call; // called on the spot
  const method = call.callee.type === 'MemberExpression' ? propertyName(call.callee) : undefined;
  if (DROPS.has(method)) return DROPPED;
  if ((COLLECTS.has(method) && call.arguments[0] === around) || CHAINS.has(method)) return call;
  return undefined;
}

const LOST = 'its answer and its failure are lost when the handler ends';
const DIRECT = `This fetch is not awaited: ${LOST}. Put "await" before it, or return it`;
const IN_LOOP = `forEach does not wait for what its callback fetches: ${LOST}. Write "await Promise.all(...)" around a map, or a for loop with "await"`;
const IN_CALLBACK = `What this callback fetches is not awaited: ${LOST}. Put "await" before the call, and Promise.all around an array`;
const byName = (name) => `${name}() fetches and is not awaited: ${LOST}. Put "await" before it, or return it`;

function warning(call, isDirect) {
  let message = isDirect ? DIRECT : IN_CALLBACK;
  if (!isDirect && call.callee.type === 'Identifier') message = byName(call.callee.name);
  if (!isDirect && call.callee.type === 'MemberExpression' && DROPS.has(propertyName(call.callee))) message = IN_LOOP;
  return { rule: 'fetch-not-awaited', start: call.start, message };
}

export function* fetchesNotAwaited(nodes) {
  const calls = nodes.filter((node) => node.type === 'CallExpression');
  const uses = usesOf(calls);
  const follower = new Follower();
  const done = new Set();
  const warned = new Set();
  let rest = calls.filter(isFetch).map((call) => ({ holder: call, call, isDirect: true }));
  while (rest.length) {
    for (const { holder, call, isDirect } of rest) {
      const fate = holder === DROPPED ? DROPPED : follower.fate(holder);
      if (fate === KEPT || warned.has(call)) continue;
      warned.add(call);
      yield warning(call, isDirect);
    }
    // Functions that were found to wait for a fetch are as good as fetches themselves.
    const fresh = [...follower.waiting].filter((one) => !done.has(one));
    for (const one of fresh) done.add(one);
    rest = fresh.flatMap((one) => followers(one, uses));
  }
}

// Who gets the promise of a function: {holder, call} for each call of it, as a function or as a callback of an array.
function followers(around, uses) {
  const holder = callbackOf(around);
  const found = holder === undefined ? [] : [{ holder, call: parentOf(around), isDirect: false }];
  for (const { call, isCallee } of uses.get(around) ?? []) {
    const method = !isCallee && call.callee.type === 'MemberExpression' ? propertyName(call.callee) : undefined;
    if (isCallee || COLLECTS.has(method)) found.push({ holder: call, call, isDirect: false });
    else if (DROPS.has(method)) found.push({ holder: DROPPED, call, isDirect: false });
  }
  return found;
}

// Map(function -> [{call, isCallee}]) of the calls that name it: `send(event)`, `events.map(send)`.
function usesOf(calls) {
  const found = new Map();
  const add = (expression, use) => {
    if (expression?.type !== 'Identifier') return;
    for (const one of functionsOf(expression)) {
      if (!found.has(one)) found.set(one, []);
      found.get(one).push(use);
    }
  };
  for (const call of calls) {
    add(call.callee, { call, isCallee: true });
    add(call.arguments[0], { call, isCallee: false });
  }
  return found;
}
