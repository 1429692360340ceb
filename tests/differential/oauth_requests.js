const client = new OAuth.OAuth(`${receiver}/request`, `${receiver}/access`, 'key', 'secret', '1.0A', null, 'PLAINTEXT', undefined, { Accept: '*/*', 'User-Agent': 'Node authentication' });
client._getNonce = () => 'nonce';
client._getTimestamp = () => 1700000000;
const withDefaults = new OAuth.OAuth(`${receiver}/request`, `${receiver}/access`, 'key', 'secret', '1.0A', null, 'PLAINTEXT');
withDefaults._getNonce = client._getNonce;
withDefaults._getTimestamp = client._getTimestamp;
const called = (method, ...args) => new Promise((resolve) => client[method](...args, (error, data, response) => resolve([error, data, response?.statusCode, response?.headers['content-type']])));
return [
  await called('get', `${receiver}/a?b=c d&e=%C3%BC`, 'token', 'token-secret'),
  await called('post', `${receiver}/form`, 'token', 'token-secret', { status: "it's (ok)!", list: ['a', 'b'], n: 5 }),
  await called('post', `${receiver}/json`, 'token', 'token-secret', JSON.stringify({ a: 'ü' }), 'application/json'),
  await called('put', `${receiver}/bytes`, 'token', 'token-secret', Buffer.from([0, 255]), 'application/octet-stream'),
  await called('put', `${receiver}/put`, 'token', 'token-secret', 'text'),
  await called('post', `${receiver}/empty`, 'token', 'token-secret', ''),
  await called('delete', `${receiver}/gone`, 'token', 'token-secret'),
  await called('getProtectedResource', `${receiver}/old`, 'GET', 'token', 'token-secret'),
  await new Promise((resolve) => withDefaults.get(`${receiver}/defaults`, 'token', 'secret', (error, data) => resolve([error, data]))),
];
