// Headers of a response as Node's http client joins those of one name.

// Of these it keeps the first and drops the others: https://nodejs.org/api/http.html#messageheaders
const SINGLE = new Set(
  'age authorization content-length content-type etag expires from host if-modified-since if-unmodified-since last-modified location max-forwards proxy-authorization referer retry-after server user-agent'.split(' '),
);

// Of [name, value] pairs: an object by lower-case names, of texts; of an array for `set-cookie`.
export function joinedHeaders(pairs) {
  const joined = { __proto__: null };
  for (const [name, value] of pairs) {
    const key = name.toLowerCase();
    if (key === 'set-cookie') joined[key] = [...(joined[key] ?? []), value];
    else if (joined[key] === undefined) joined[key] = value;
    else if (!SINGLE.has(key)) joined[key] += (key === 'cookie' ? '; ' : ', ') + value;
  }
  return joined;
}
