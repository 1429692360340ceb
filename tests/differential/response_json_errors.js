const out = [];
for (const text of ['', ' ', '{', '}', '[1,2', '{"a":1,}', 'undefined', 'NaN', "{'a':1}", '{"a":"\n"}', '01', '<!doctype html>', '"unterminated', 'tru', 'a'.repeat(50), '{"a":1} trailing', '\u0000', '[1 2]']) {
  try { out.push(await new Response(text, { url: 'http://u/' }).json()); } catch (e) { out.push([e.name, e.type, e.message, e.constructor.name]); }
}
return out;
