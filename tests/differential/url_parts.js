const u = new URL('https://user:p%40ss@EXAMPLE.com:8443/a/./b/../c d?x=1&y=%20z#frag ment');
const parts = ['href','origin','protocol','username','password','host','hostname','port','pathname','search','hash'];
return parts.map((p) => [p, u[p]]);
