const json = (value, status = '200 OK') => {
  const body = JSON.stringify(value);
  return `/reply?${reply(`HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`).split('?')[1]}`;
};
const client = new OAuth.OAuth2('id', 's&cret', receiver, '/authorize', json({ access_token: 'a', refresh_token: 'r', expires_in: 5 }), { 'X-Own': '1' });
const called = (owner, method, ...args) => new Promise((resolve) => owner[method](...args, (error, ...results) => resolve([error, ...results.slice(0, 3).map((one) => one?.statusCode ?? one)])));
const out = [
  client.getAuthorizeUrl({ redirect_uri: 'http://h/cb', scope: ['a', 'b'], state: 'x y' }),
  await called(client, 'getOAuthAccessToken', 'code', { grant_type: 'authorization_code', redirect_uri: 'http://h/cb' }),
  await called(client, 'getOAuthAccessToken', 'r', { grant_type: 'refresh_token' }),
  await called(client, 'get', `${receiver}/me?fields=a,b`, 'token'),
];
client.useAuthorizationHeaderforGET(true);
client.setAuthMethod('Token');
client.setAccessTokenName('tok');
out.push(await called(client, 'get', `${receiver}/me`, 'token'), client.buildAuthHeader('x'));
out.push(await called(client, '_request', 'PUT', `${receiver}/put`, { 'Content-Type': 'text/plain' }, 'bödy', 'token'));
const refused = new OAuth.OAuth2('id', 'secret', receiver, null, json({ error: 'invalid_grant' }, '400 Bad Request'));
out.push(await called(refused, 'getOAuthAccessToken', 'code', {}), Object.keys(OAuth.OAuth2.prototype).sort());
const form = new OAuth.OAuth2('id', 'secret', receiver, null, `/reply?${reply('HTTP/1.1 200 OK\r\nContent-Length: 25\r\n\r\naccess_token=f&expires=50').split('?')[1]}`);
out.push(await called(form, 'getOAuthAccessToken', 'code', {}));
return out;
