const hosts = ['faß.de', 'MÜNCHEN.de', '日本語.jp', 'xn--mnchen-3ya.de', '0x7f.1', '127.1', '[::FFFF:1.2.3.4]', 'a.b.c.', '☃.net', 'ﬁ.com', '１２７.0.0.1', 'EXAMPLE.%63om'];
return hosts.map((h) => { try { return new URL(`http://${h}/`).host; } catch (e) { return e.message; } });
