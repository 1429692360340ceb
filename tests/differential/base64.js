const out = [];
for (const s of ['', 'a', 'ab', 'abc', 'é', '\u0000\u00ff', '€', 'hello world', 12345, true, null === 1]) out.push(btoa(s));
out.push(btoa(Buffer.from([255, 254])));
for (const s of ['', 'YQ==', 'YQ', 'YWI=', ' Y W I = ', 'YW-_', '4pyT', '!!!', 'YQ==YQ==']) out.push(atob(s), atob(s).length);
for (const bad of [undefined, null]) { for (const f of [atob, btoa]) { try { out.push(f(bad)); } catch (e) { out.push(e.name); } } }
return out;
