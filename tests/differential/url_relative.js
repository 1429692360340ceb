const base = 'http://h.example/a/b/c?q#f';
return ['', '.', '..', '../..', 'd', '/d', '//o/d', '?x', '#y', 'mailto:x@y', 'd/../e', './/x', 'http:x', '\\x'].map((r) => new URL(r, base).href);
