const form = (body, status = '200 OK') => reply(`HTTP/1.1 ${status}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
const made = (request, access) => {
  const client = new OAuth.OAuth(request, access, 'key', 'secret', '1.0A', 'http://h/callback?a=b', 'PLAINTEXT', undefined, { Accept: 'text/x', 'User-Agent': 'mine', 'X-Own': 'é' });
  client._getNonce = () => 'nonce';
  client._getTimestamp = () => 1700000000;
  return client;
};
const client = made(form('oauth_token=t&oauth_token_secret=s%20t&oauth_callback_confirmed=true'), form('oauth_token=u&oauth_token_secret=v&user_id=5'));
const called = (owner, method, ...args) => new Promise((resolve) => owner[method](...args, (...results) => resolve(results)));
const refused = made(form('no such token', '401 Unauthorized'), form(''));
const redirected = made(reply(`HTTP/1.1 302 Found\r\nLocation: ${form('oauth_token=r&oauth_token_secret=q')}\r\nContent-Length: 0\r\n\r\n`), form(''));
client.setClientOptions({ requestTokenHttpMethod: 'GET' });
return [
  await called(client, 'getOAuthRequestToken'),
  await called(client, 'getOAuthRequestToken', { scope: 'a b' }),
  await called(client, 'getOAuthAccessToken', 't', 's', 'verifier'),
  await called(client, 'getOAuthAccessToken', 't', 's'),
  await called(refused, 'getOAuthRequestToken'),
  await called(redirected, 'getOAuthRequestToken'),
];
