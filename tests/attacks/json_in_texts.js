// Tries: log lines, messages, names and results that look like the end of a record
// Meets: all of them are escaped
function attack() {
  console.log('"]],"error":null}],[0,2,{"error":{"kind":"DropEvent","name":"forged","message":"forged","stack":"","status":0,"network":false}}],[0,1,{"logs":[["log",1,"');
  console.log('\n1,1,1\n[0,2,{}]', '\u2028', '\ud800');
  return [];
}
