// The syntax tree with parents, and what each name in it refers to. Nothing here recurses: a chain of members can be
// as deep as the code is long.

const FUNCTIONS = new Set(['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression']);
const BLOCKS = new Set(['BlockStatement', 'ForStatement', 'ForInStatement', 'ForOfStatement', 'SwitchStatement', 'CatchClause', 'StaticBlock']);
const PARENT = Symbol('parent');
const BINDING = Symbol('binding');

export const isFunction = (node) => FUNCTIONS.has(node.type);
export const parentOf = (node) => node[PARENT];
// What an identifier, declared or used, refers to; undefined for a global that the code does not make.
export const bindingOf = (node) => node[BINDING];

// The function around a node, or the program.
export function functionAround(node) {
  let at = node[PARENT];
  while (at && !isFunction(at) && at.type !== 'Program') at = at[PARENT];
  return at;
}

class Scope {
  constructor(outer, isWhole) {
    this.outer = outer;
    this.whole = isWhole ? this : outer.whole; // of the function or program
    this.bindings = new Map();
  }

  // `values` are the expressions that the name is known to be given.
  declare(name, made = {}) {
    let binding = this.bindings.get(name);
    if (!binding) {
      binding = { name, values: [], references: [], writes: 0, ...made };
      this.bindings.set(name, binding);
    }
    return binding;
  }

  find(name) {
    for (let scope = this; scope; scope = scope.outer) {
      const binding = scope.bindings.get(name);
      if (binding) return binding;
    }
    return undefined;
  }
}

function childrenOf(node) {
  const found = [];
  for (const key of Object.keys(node)) {
    const value = node[key];
    if (Array.isArray(value)) for (const one of value) one && typeof one.type === 'string' && found.push(one);
    else if (value && typeof value.type === 'string') found.push(value);
  }
  return found;
}

// The identifiers that a pattern declares.
function identifiersOf(pattern) {
  const found = [];
  const rest = [pattern];
  while (rest.length) {
    const node = rest.pop();
    if (!node) continue;
    if (node.type === 'Identifier') found.push(node);
    else if (node.type === 'ObjectPattern') rest.push(...node.properties.map((one) => one.value ?? one.argument));
    else if (node.type === 'ArrayPattern') rest.push(...node.elements);
    else if (node.type === 'AssignmentPattern') rest.push(node.left);
    else if (node.type === 'RestElement') rest.push(node.argument);
  }
  return found;
}

function bind(scope, identifier, value, made) {
  const binding = scope.declare(identifier.name, made);
  identifier[BINDING] = binding;
  if (value) binding.values.push(value);
}

function declare(node, scope, inner) {
  if (node.type === 'VariableDeclaration') {
    const target = node.kind === 'var' ? scope.whole : scope;
    for (const { id, init } of node.declarations) {
      for (const one of identifiersOf(id)) bind(target, one, one === id ? init : null);
    }
  } else if (isFunction(node)) {
    if (node.id) bind(node.type === 'FunctionDeclaration' ? scope.whole : inner, node.id, node);
    node.params.forEach((param, index) => {
      for (const one of identifiersOf(param)) bind(inner, one, null, { of: node, index: one === param || one === param.left ? index : -1 });
    });
  } else if (node.type === 'ClassDeclaration' || node.type === 'ClassExpression') {
    if (node.id) bind(scope, node.id, node);
  } else if (node.type === 'CatchClause' && node.param) {
    for (const one of identifiersOf(node.param)) bind(inner, one);
  }
}

function innerScope(node, scope) {
  if (isFunction(node)) return new Scope(scope, true);
  // The body of a function shares the scope of its parameters.
  return BLOCKS.has(node.type) && !(node[PARENT] && isFunction(node[PARENT])) ? new Scope(scope, false) : scope;
}

const NAMES_ONLY = new Set(['LabeledStatement', 'BreakStatement', 'ContinueStatement', 'MetaProperty']);

function isReference(node) {
  const parent = node[PARENT];
  if (node[BINDING] || NAMES_ONLY.has(parent.type)) return false;
  if (parent.type === 'MemberExpression') return parent.object === node || parent.computed;
  if (['Property', 'MethodDefinition', 'PropertyDefinition'].includes(parent.type)) return parent.value === node || parent.computed;
  return true;
}

function isWrite(node) {
  const parent = node[PARENT];
  return (parent.type === 'AssignmentExpression' && parent.left === node) || parent.type === 'UpdateExpression';
}

function resolve(identifiers, root) {
  // `onTrack = ...` without a declaration makes a global.
  for (const [node, scope] of identifiers) if (isWrite(node) && !scope.find(node.name)) root.declare(node.name);
  for (const [node, scope] of identifiers) {
    const binding = scope.find(node.name);
    if (!binding) continue;
    node[BINDING] = binding;
    if (isWrite(node)) {
      binding.writes += 1;
      if (node[PARENT].operator === '=') binding.values.push(node[PARENT].right);
    } else {
      binding.references.push(node);
    }
  }
}

// Answers {nodes, root}: all nodes in the order of the code, and the bindings of the top level.
export function readScopes(program) {
  const root = new Scope(undefined, true);
  const nodes = [];
  const uses = [];
  const rest = [[program, root]];
  while (rest.length) {
    const [node, scope] = rest.pop();
    const inner = innerScope(node, scope);
    nodes.push(node);
    declare(node, scope, inner);
    if (node.type === 'Identifier') uses.push([node, scope]);
    const children = childrenOf(node);
    for (let i = children.length - 1; i >= 0; i -= 1) {
      children[i][PARENT] = node;
      rest.push([children[i], inner]);
    }
  }
  resolve(uses.filter(([node]) => isReference(node)), root);
  return { nodes, root };
}

// The functions that an expression may stand for.
export function functionsOf(expression) {
  const found = new Set();
  const seen = new Set();
  const rest = [expression];
  while (rest.length) {
    const node = rest.pop();
    if (!node || seen.has(node)) continue;
    seen.add(node);
    if (isFunction(node)) found.add(node);
    else if (node.type === 'Identifier') rest.push(...(node[BINDING]?.values ?? []));
  }
  return [...found];
}

// The name of a property that is known without running the code: `a.b`, `a['b']`, `{ b: 1 }`; otherwise undefined.
export function propertyName(node) {
  const key = node.type === 'MemberExpression' ? node.property : node.key;
  if (!key) return undefined;
  if (!node.computed && key.type === 'Identifier') return key.name;
  return key.type === 'Literal' && typeof key.value === 'string' ? key.value : undefined;
}

// Whether this is a global of that name, which the code does not shadow.
export const isGlobal = (node, name) => node?.type === 'Identifier' && node.name === name && !node[BINDING];
