// Tries: `transfer()` and `resize()` on buffers that came from `crypto`, `Buffer` and encoders, then the same calls again
// Meets: they are copies
function attack() {
  const got = [];
  const before = crypto.createHash('md5').update('x').digest('hex');
  for (const bytes of [crypto.randomBytes(16), Buffer.from('x'), Buffer.alloc(4), new TextEncoder().encode('x'), crypto.createHash('md5').update('x').digest()])
    try { bytes.buffer.transfer(0) } catch {}
  try { if (crypto.createHash('md5').update('x').digest('hex') !== before) got.push('another digest') } catch (e) { got.push(String(e)) }
  return got;
}
