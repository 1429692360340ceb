console.log(new Response('hi', { status: 202 }));
console.log(new Request('http://a/', { method: 'PUT', body: 'x' }).body);
