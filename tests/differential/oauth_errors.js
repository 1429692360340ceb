const client = new OAuth.OAuth(`${receiver}/request`, `${receiver}/access`, 'key', 'secret', '1.0A', null, 'PLAINTEXT', undefined, { Accept: '*/*', 'User-Agent': 'Node authentication' });
client._getNonce = () => 'nonce';
client._getTimestamp = () => 1700000000;
const shown = (error) => error && (error instanceof Error ? { name: error.name, message: error.message, code: error.code, errno: error.errno, syscall: error.syscall, hostname: error.hostname, address: error.address, port: error.port } : error);
const got = (url) => new Promise((resolve) => client.get(url, 'token', 'secret', (error, data, response) => resolve([shown(error), data, response?.statusCode])));
return [
  await got(reply('HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone')),
  await got(reply('HTTP/1.1 503 Busy\r\nRetry-After: 5\r\nContent-Length: 2\r\n\r\n{}')),
  await got(reply('HTTP/1.1 204 No Content\r\n\r\n')),
  await got('http://127.0.0.1:9/refused'),
  await got('http://no-such-host.invalid/'),
  // The broker repeats a GET where a kept connection breaks.
  await new Promise((resolve) => client.post(reply('', { end: 'close' }), 'token', 'secret', 'body', (error, data) => resolve([shown(error), data]))),
];
