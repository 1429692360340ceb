// The AWS SDK as its own lib/node_loader.js sets it up, without what isolates don't have: files, environment, processes,
// the metadata services of instances. Services are defined when they are first named, their models fetched then.
const { load } = require('../modules.js');
const { part } = require('../library_parts.js');
const { services } = require('virtual:aws-services');
const { ERRNO } = require('../node/http.js');
const attempts = require('./aws_attempts.cjs');

const util = require('aws-sdk/lib/util');

const lazily = (object, name, make) =>
  Object.defineProperty(object, name, {
    get() {
      const value = make();
      Object.defineProperty(object, name, { value, writable: true, configurable: true, enumerable: true });
      return value;
    },
    set: (value) => void Object.defineProperty(object, name, { value, writable: true, configurable: true, enumerable: true }),
    configurable: true,
    enumerable: true,
  });

util.isBrowser = () => false;
util.isNode = () => true;
lazily(util.crypto, 'lib', () => require('crypto'));
util.Buffer = load('web/buffer.js').Buffer;
util.domain = {};
util.stream = require('stream');
util.url = require('url');
util.querystring = require('querystring');
util.environment = 'nodejs';
util.createEventStream = (...args) => require('aws-sdk/lib/event-stream/streaming-create-event-stream').createEventStream(...args);
util.realClock = require('aws-sdk/lib/realclock/nodeClock');
util.getSystemErrorName = (errno) => Object.keys(ERRNO).find((name) => ERRNO[name] === errno);
// There is no environment and no file: every option has its default.
util.loadConfig = (options) => (typeof options.default === 'function' ? options.default() : options.default);
util.getProfilesFromSharedConfig = () => ({});

const AWS = require('aws-sdk/lib/core');
require('aws-sdk/lib/credentials');
require('aws-sdk/lib/credentials/credential_provider_chain');
require('aws-sdk/lib/credentials/temporary_credentials');
require('aws-sdk/lib/credentials/chainable_temporary_credentials');
require('aws-sdk/lib/credentials/web_identity_credentials');
require('aws-sdk/lib/credentials/cognito_identity_credentials');
require('aws-sdk/lib/credentials/saml_credentials');
require('aws-sdk/lib/credentials/environment_credentials');
require('aws-sdk/lib/token');
require('aws-sdk/lib/token/token_provider_chain');
require('aws-sdk/lib/http/node');

const Parser = function () {};
// 70 KB that only some protocols need.
Parser.prototype.parse = (xml, shape) => new (require('aws-sdk/lib/xml/node_parser'))().parse(xml, shape);
AWS.XML.Parser = Parser;

// What the SDK's own chain ends with where there are neither files nor metadata.
class NoCredentials extends AWS.Credentials {
  refresh(callback) {
    callback(new Error('Could not load credentials from any providers'));
  }
}
AWS.CredentialProviderChain.defaultProviders = [() => new NoCredentials()];
AWS.TokenProviderChain.defaultProviders = [];
AWS.util.update(AWS.Config.prototype.keys, {
  credentials: () => null,
  credentialProvider: () => new AWS.CredentialProviderChain(),
  logger: () => null,
  region: () => undefined,
  tokenProvider: () => new AWS.TokenProviderChain(),
  useFipsEndpoint: () => false,
  useDualstackEndpoint: () => false,
});
AWS.config = new AWS.Config();

function define({ name, id, versions, models, code }) {
  const models_ = (AWS.apiLoader.services[id] = {});
  for (const version of models) lazily(models_, version, () => JSON.parse(part(`aws-sdk/${id}-${version}`)));
  // lib/services/<id>.js changes AWS.<name>, where it therefore has to stand.
  AWS[name] = AWS.Service.defineService(id, versions);
  code?.();
  return AWS[name];
}
for (const service of services) lazily(AWS, service.name, () => define(service));

attempts.install(AWS);
module.exports = AWS;
