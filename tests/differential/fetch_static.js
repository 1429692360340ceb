return [fetch.name, fetch.length, [300, 301, 302, 303, 304, 307, 308].map(fetch.isRedirect), typeof Headers.prototype.raw, Request.length, Response.name];
