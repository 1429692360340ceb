const f = new FormData(); f.setBoundary('BB'); f.append('a', '1'); f.append('file', Buffer.from('data'), { filename: 'f.csv' });
const r = new Request('http://a/', { method: 'POST', body: f });
return [r.headers.get('content-type'), r.body === f];
