const out = [
  _.template('hello <%= user %>! <%- "<b>" %><% _.forEach(users, (u) => { %><li><%- u %></li><% }); %>')({ user: 'fred', users: ['a', '<b>'] }),
  _.template('hello ${ user }')({ user: 'pebbles' }), _.template('<% print("hello " + data.user) %>', { variable: 'data' })({ user: 'barney' }),
  _.template('<%= jq.each([1], String) %>', { imports: { jq: { each: (list, f) => list.map(f) } } })(), _.template('{{ user }}', { interpolate: /{{([\s\S]+?)}}/g })({ user: 'mustache' }),
  typeof _.template('x').source, _.escape('<a href="x">\'&`'), _.unescape('&lt;&amp;&#39;'),
];
for (const text of ['<% if ( %>', '<%= nothing.at.all %>', '<%= a.b.c %>']) {
  try {
    out.push(_.template(text)({ a: {} }));
  } catch (error) {
    out.push([error.name, error.message, _.isError(error)]);
  }
}
out.push(_.attempt(() => _.template('<%= missing %>')()).message);
return out;
