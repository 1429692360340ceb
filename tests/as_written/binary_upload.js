async function onTrack(event, settings) {
  const bytes = Buffer.from(event.properties.image, 'base64')
  const checksum = crypto.createHash('md5').update(bytes).digest('base64')
  const put = await fetch(`${settings.endpoint}/bucket/${event.messageId}.png`, { method: 'PUT', headers: { 'Content-MD5': checksum, 'Content-Type': 'image/png' }, body: bytes })
  const view = await fetch(`${settings.endpoint}/bucket/part`, { method: 'PUT', body: new Uint8Array(bytes.buffer, bytes.byteOffset + 1, 3) })
  const got = await (await fetch(`${settings.endpoint}/bucket/object`)).buffer()
  return { etag: put.headers.get('etag'), magic: bytes.toString('latin1', 1, 4), size: bytes.length, view: view.status, got: got.toString('hex'), big: bytes.readUInt32BE(0) }
}
