const names = ['a.html', 'a.JSON', 'a.pdf', 'a.png', 'a.unknownext', 'noext', '.json', 'a.tar.gz', 'x.svg', 'y.mp4', 'z.xlsx', 'w.txt', 'v.js', 'a.b/c'];
return names.map((n) => { const f = new FormData(); f.setBoundary('B'); f.append('x', Buffer.from('1'), n); return f.getBuffer().toString(); });
