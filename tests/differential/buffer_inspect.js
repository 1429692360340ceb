console.log(Buffer.from('hello'), Buffer.alloc(0), [Buffer.from('a')], Buffer.alloc(60), Buffer.alloc(51));
console.log(new Uint8Array([1, 2]), new ArrayBuffer(4), new DataView(new ArrayBuffer(2)));
