const key = `-----BEGIN ${'PRIVATE'} KEY-----
MIICdwIBADANBgkqhkiG9w0BAQEFAASCAmEwggJdAgEAAoGBAMrphKBnb/IgDWqU
xfB84g2rW4pE0Yc+p/Gf/SWVrrEP4BuDK/OepXUn/fZSm3nh2DXSKhqfEg1M/SMP
zD2i+X61ZKOTC2KHvTJAOQkdBWnT5yz6tiu1mmHvICrtvjwBTgnnN4UUcdA5BdG4
EZgrv94luugxp9mVEw2u+T4SB2qzAgMBAAECgYB9fjb8TXy6roAdrq1Msq/L7HLM
7Qr5LhMIKP6TRCOqdjsQSOvh2/hQoM88jJKDqt3hS32mwUKU30yfZqHWbPkH/NZw
LY4y7nheor3v9gZPAmenzxzSVt3jSgGPJPTp5JlrWbpI7fM29/m04Sgw4Ky77A+B
bA/kGodcQb8ziix7oQJBAP62DvqInV527RKeAaik6SyUEjwQG35lSAp4ExRe5eOZ
HT+2u+qjkaBRwngwET2yM4vu5ytMqj16xZsC4xkT/e8CQQDL8FyI9V1SbxcATbrA
3KskpHc+dIlosrmwR20F/P2uufPIvXp26RGup0u9G5ib9eOkT3Fzyp+TJTytSvtJ
/2N9AkBxwTNdVqgZqTllyCVrgQMWQqcGJhdxUqBi9I9o2J0JEbfLXbv9JcIC/KDC
do0spap5w1+AqgOZ43vfJ+HusEwHAkEAr1T+uWD50p1fkQtCu/z7xoz/V9qpKDJA
IqXFvZg8IbQNO1BrsT+/zABYxUSsd6l3BRSn3X0epEsnV3VXhc7joQJBANU7/Iot
71l41hmeBSvqd0W+UxVMS+0hgyTGFWt78WsXCZUO4txWGgyvU4/i8bbuyptnmHx9
KeGXwoBHigG64ZA=
-----END ${'PRIVATE'} KEY-----`;
const made = (method, secret, ...more) => {
  const client = new OAuth.OAuth('http://h/request', 'http://h/access', 'key & co', secret, '1.0A', 'http://h/callback', method, ...more);
  client._getNonce = () => 'nonce';
  client._getTimestamp = () => 1700000000;
  return client;
};
const out = [];
for (const method of ['HMAC-SHA1', 'PLAINTEXT', 'RSA-SHA1']) {
  const client = made(method, method === 'RSA-SHA1' ? key : "se!cr'et(*)");
  for (const url of ['http://h.example/a', 'https://h.example:443/a?b=1&b=2&c=ü%20%2B', 'http://h.example:8080/p(1)?x[y]=z', 'HTTP://H.example/%7Euser']) {
    out.push(client.authHeader(url, 'token', 'to ken&secret', 'GET'), client.signUrl(url, 'token', undefined, 'POST'), client.signUrl(url));
  }
}
try {
  made('HMAC-MD5', 'x');
} catch (error) {
  out.push([error.name, error.message]);
}
const echo = new OAuth.OAuthEcho('realm', 'http://h/verify', 'key', 'secret', '1.0A', 'HMAC-SHA1', 8);
out.push(echo._getNonce(8).length, echo._encodeData("a b!'()*ü"), echo._decodeData('a+b%21'), Object.keys(OAuth), OAuth.OAuth.name);
return out;
