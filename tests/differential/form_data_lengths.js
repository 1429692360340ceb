const f = new FormData(); f._boundary = 'B'; f.append('a', 'é☃'); f.append('b', Buffer.alloc(10), { knownLength: 10 }); f.append('c', 'x'.repeat(100), { filename: 'long.txt' });
const out = [f.getLengthSync(), f.hasKnownLength(), f.getBuffer().length, await new Promise((resolve) => f.getLength((error, length) => resolve([error, length])))];
const h = f.getHeaders(); const custom = f.getHeaders({ 'content-type': 'mine', A: 'b', 'X-Y': 1 }); const a = new FormData(); const b = new FormData();
return [...out, h, custom, a.getBoundary() === a.getBoundary(), a.getBoundary() !== b.getBoundary(), FormData.name, FormData.LINE_BREAK, FormData.DEFAULT_CONTENT_TYPE, typeof f.pipe, typeof f.on];
