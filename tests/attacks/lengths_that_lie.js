// Tries: objects with false `length`, getters and negative offsets given to `crypto`, `Buffer` and encoders
// Meets: sizes are read from the buffers themselves
function attack() {
  const lying = Object.defineProperty(new Uint8Array(4), 'length', { value: 2 ** 16 }); const short = Object.defineProperty(Buffer.from('abcd'), 'byteLength', { value: 2 ** 16 });
  for (const bytes of [lying, short, { length: 2 ** 16 }, new Proxy(new Uint8Array(4), {}), { buffer: new ArrayBuffer(4), byteOffset: -9, byteLength: 2 ** 16 }])
    for (const f of [() => crypto.createHash('md5').update(bytes).digest(), () => crypto.createHmac('md5', bytes).update(bytes).digest(), () => Buffer.concat([bytes], 8), () => new TextDecoder().decode(bytes), () => crypto.timingSafeEqual(bytes, bytes)])
      try { f() } catch {}
  return crypto.createHash('md5').update('x').digest('hex') === '9dd4e461268c8034f5c8564e155c67a6' ? [] : ['broken'];
}
