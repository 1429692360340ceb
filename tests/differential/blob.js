const b = new Blob(['héllo', new Uint8Array([33]), new Blob(['!'])], { type: 'Text/Plain' });
console.log(b);
return [b.size, b.type, await b.text(), (await b.arrayBuffer()).byteLength, await b.slice(0, 3).text(), await b.slice(-2, undefined, 'x/Y').text(), b.slice(1, 1).size, b.slice(0, 1, 'x/Y').type, Object.prototype.toString.call(b), new Blob().size];
