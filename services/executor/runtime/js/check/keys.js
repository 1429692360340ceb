// Literals that look like keys: by the prefix that a service gives its keys, by the name that they are given, or by
// their shape.

import { parentOf, propertyName } from './scopes.js';

const PREFIXED = new RegExp(
  '^(?:' +
    [
      '(?:sk|rk)_(?:live|test)_\\w{8,}', // Stripe
      'whsec_[\\w+/=]{8,}',
      'sk-[\\w-]{20,}', // OpenAI, Anthropic
      'xox[abeprs]-[\\w-]{8,}|xapp-[\\w-]{8,}', // Slack
      'gh[pousr]_\\w{16,}|github_pat_\\w{16,}|glpat-[\\w-]{16,}', // GitHub, GitLab
      'npm_\\w{30,}|pypi-\\w{16,}|dop_v1_\\w{16,}|hf_\\w{20,}|lin_api_\\w{16,}',
      '(?:AKIA|ASIA)[A-Z0-9]{16}', // AWS
      'AIza[\\w-]{30,}|ya29\\.[\\w-]{16,}', // Google
      'SG\\.[\\w-]{8,}\\.?[\\w-]*', // SendGrid
      'key-[0-9a-f]{16,}', // Mailgun
      'EAA[A-Za-z0-9]{20,}', // Facebook
      'pat-[a-z]{2}\\d-[\\w-]{16,}', // HubSpot
      'shp(?:at|ca|pa|ss)_\\w{16,}', // Shopify
      'NRAK-\\w{16,}',
      'onw_\\w{8,}', // ours
      'eyJ[\\w-]{8,}\\.eyJ[\\w-]{8,}\\.[\\w-]*', // a JSON Web Token
      '-----BEGIN [A-Z ]*PRIVATE KEY-----[^]*',
    ].join('|') +
    ')$',
);
const HEX = /^(?:0x)?[0-9a-f]{32,}$/i;
const LONG = /^[A-Za-z0-9+/_-]{40,}={0,2}$/;
const AUTHORIZATION = /^(?:Bearer|Basic|Token|Apikey|Bot) +(\S{8,})$/i;
// `https://user:password@host` and `?api_key=...`
const IN_URL = /^[a-z][a-z0-9+.-]*:\/\/[^/?#@\s:]*:([^/?#@\s]{6,})@|[?&](?:api_?key|key|access_?token|auth_?token|token|secret|password|sig)=([^&#\s]{8,})/i;
const IS_URL = /^(?:[a-z][a-z0-9+.-]*:)?\/\/|^data:|^\.{0,2}\/[a-z]/i;
// An alphabet, a digest of a file.
const NO_KEY = /abcdefgh|ABCDEFGH|^sha\d+-/;
const PLACEHOLDER = /^(?:your|my)[_-]?(?:api|secret|token|key|pass)|^<.*>$|^\{.*\}$|change.?me|placeholder|example|\.\.\.|^(.)\1*$|^(?:x|\*){4,}/i;

const SECRET_NAME = /(?:^|_)(?:api_?key|apikey|secret|secret_?key|password|passwd|passphrase|token|credentials?|private_?key|access_?key|auth_?key|encryption_?key|signing_?key)$/;
// What has the shape of a key and is no secret where it bears such a name.
const HARMLESS_NAME = /(?:^|_)(?:ids?|uuid|guid|hash|digest|checksum|sha\d*|md5|etag|commit|revision|version|template|alphabet|charset|chars|public_key|fingerprint|regexp?|pattern|nonce)$/;
// Words that names of fields are made of: `grant: 'access_token'` gives a name, not a secret.
const FIELD_WORDS = new Set(
  'access api auth authorization basic bearer client credentials csrf device email field header hidden id key name oauth pass password private public push refresh required secret session string text token type user value x'.split(' '),
);

const SECRET_CHARS_MIN = 6;
const HEX_DIGITS_MIN = 8; // different ones: what has fewer is a mask or a number written in binary
const TEXT_CHARS_MAX = 16 * 1024; // longer ones are data

const words = (text) => text.replace(/([a-z0-9])([A-Z])/g, '$1_$2').replace(/[^A-Za-z0-9]+/g, '_').toLowerCase();
const hasMixture = (text) => /[a-z]/.test(text) && /[A-Z]/.test(text) && /\d.*\d/.test(text);

// The name that a literal is given, and whether a variable bears it: names of properties may be those of a mapping.
function nameOf(node) {
  const parent = parentOf(node);
  switch (parent.type) {
    case 'VariableDeclarator':
      return { name: parent.id.name, isVariable: true };
    case 'AssignmentPattern':
      return { name: parent.left.name, isVariable: true };
    case 'AssignmentExpression':
      return { name: parent.left.name ?? propertyName(parent.left), isVariable: true };
    case 'LogicalExpression':
    case 'ConditionalExpression':
      return parent.test === node ? {} : nameOf(parent); // `settings.apiKey || '...'`
    case 'Property':
    case 'PropertyDefinition':
      return { name: propertyName(parent), isVariable: parent.type === 'PropertyDefinition' };
    case 'CallExpression':
      return nameInCall(parent, node);
    default:
      return {};
  }
}

// `headers.set('X-Api-Key', '...')`
function nameInCall({ callee, arguments: given }, node) {
  const isSet = callee.type === 'MemberExpression' && ['set', 'append', 'setHeader'].includes(propertyName(callee));
  return isSet && given[1] === node && given[0].type === 'Literal' ? { name: String(given[0].value), isVariable: false } : {};
}

function isSecretByName(text, { name, isVariable }) {
  if (!name || !SECRET_NAME.test(words(name)) || text.length < SECRET_CHARS_MIN || /\s/.test(text) || IS_URL.test(text)) return false;
  if (/\d/.test(text) && /[A-Za-z]/.test(text)) return isVariable || !/^[a-z]+\d?(?:[._-](?:[a-z]+\d?|\d))+$/i.test(text);
  return isVariable && words(text) !== words(name) && !words(text).split('_').every((word) => FIELD_WORDS.has(word)) && !/[.$[]/.test(text);
}

function isKey(text, named) {
  const bare = AUTHORIZATION.exec(text)?.[1];
  if (PLACEHOLDER.test(bare ?? text)) return false;
  if (bare !== undefined && /\d|[A-Z].*[a-z]|[a-z].*[A-Z]/.test(bare)) return true;
  if (PREFIXED.test(text)) return true;
  if (/\s/.test(text)) return false;
  const inUrl = IN_URL.exec(text);
  if (inUrl) return !PLACEHOLDER.test(inUrl[1] ?? inUrl[2]);
  if (isSecretByName(text, named)) return true;
  if (NO_KEY.test(text) || IS_URL.test(text) || (named.name && HARMLESS_NAME.test(words(named.name)))) return false;
  return HEX.test(text) ? new Set(text).size >= HEX_DIGITS_MIN : LONG.test(text) && hasMixture(text) && !isPath(text);
}

// `Some/Path/With/Names2` and `SOME_LONG_NAME` are made of words.
const isPath = (text) => text.split(/[/_-]/).filter((part) => /^(?:[A-Za-z][a-z]+|[A-Z]+)\d?$/.test(part)).length >= 3;

function textOf(node) {
  if (node.type === 'Literal') return typeof node.value === 'string' ? node.value : undefined;
  return node.type === 'TemplateLiteral' && !node.expressions.length ? (node.quasis[0].value.cooked ?? undefined) : undefined;
}

const isMereName = (node) => {
  const parent = parentOf(node);
  return parent.type === 'ExpressionStatement' || (parent.key === node && !parent.computed) || (parent.type === 'MemberExpression' && parent.property === node);
};

export function* literalKeys(nodes) {
  for (const node of nodes) {
    const text = textOf(node);
    if (text === undefined || text.length < SECRET_CHARS_MIN || text.length > TEXT_CHARS_MAX || isMereName(node)) continue;
    if (isKey(text, nameOf(node))) {
      yield { rule: 'literal-key', start: node.start, message: 'This looks like a key. Keep it in an encrypted setting: whoever views code sees it' };
    }
  }
}
