const u = new URL('http://example.com/');
u.protocol = 'https'; u.host = 'other.org:444'; u.port = '443'; u.pathname = '/ä b'; u.search = 'q=ü&r=1'; u.hash = '#é';
u.username = 'me'; u.password = 'a:b';
u.searchParams.append('z', 'a+b c');
return [u.href, String(u), JSON.stringify(u), u.searchParams.get('q')];
