const f = new FormData();
f.setBoundary?.('XX');
f.append('a', 'é'); f.append('n', 5); f.append('b', Buffer.from('bin'), { filename: 'x.json', contentType: 'text/x' }); f.append('c', Buffer.from('y'), 'photo.png'); f.append('d', 'z', { header: { 'X-H': '1' } }); f.append('q"\r\n', 'v', { filename: 'dir/na"me.tar.gz' }); f.append('k', 'v', { filepath: 'a/../b/c.txt' }); f.append('raw', 'r', { header: '--XX\r\nHand: made\r\n\r\n' });
const out = [f.getBoundary(), f.getHeaders({ A: 'b' }), f.getBuffer().toString(), f.getLengthSync(), f.hasKnownLength(), String(f)];
return [...out, new FormData().getBoundary().length, /^-{26}[0-9a-f]{24}$/.test(new FormData().getBoundary()), f instanceof FormData];
