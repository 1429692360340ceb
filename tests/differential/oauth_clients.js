// Without a callback the request itself is answered, as Node's http has it.
const client = new OAuth.OAuth(`${receiver}/request`, `${receiver}/access`, 'key', 'secret', '1.0A', null, 'PLAINTEXT', undefined, { Accept: '*/*', 'User-Agent': 'Node authentication' });
client._getNonce = () => 'nonce';
client._getTimestamp = () => 1700000000;
const request = client.post(`${receiver}/stream`, 'token', 'secret', { a: 1 });
const seen = [];
const done = new Promise((resolve) => {
  request.on('response', (response) => {
    seen.push(response.statusCode, response.statusMessage, response.httpVersion, Object.keys(response.headers).sort());
    response.setEncoding('utf8');
    response.on('data', (chunk) => seen.push(chunk)).on('end', resolve);
  });
});
request.end();
await done;
return [seen, request.method, request.path, typeof request.abort, typeof request.write];
