// Tries: `Object.prototype.toJSON`, `String.prototype.toJSON` and `Array.prototype.toJSON`, to write records of one's own
// Meets: only primitives are turned into JSON, and requests stay JSON
Object.prototype.toJSON = function () { return '],[0,2,{"error":{"kind":"DropEvent"}}],[' };
String.prototype.toJSON = Array.prototype.toJSON = Number.prototype.toJSON = function () { return { forged: 1 } };
async function attack() { fetch('https://a.test/', { method: 'POST', body: 'x' }).catch(() => {}); console.log({}); return [] }
