const sign = (secret, parts) => crypto.createHmac('sha256', secret).update(parts.join('\n')).digest('hex')

async function onTrack(event, settings) {
  const url = new URL('/v1/events', settings.endpoint)
  url.searchParams.set('account', settings.account)
  const body = JSON.stringify({ id: event.messageId, at: event.timestamp, props: event.properties })
  const stamp = String(Date.parse(event.timestamp) / 1000)
  const signature = sign(settings.secret, ['POST', url.pathname + url.search, stamp, crypto.createHash('sha256').update(body).digest('base64')])
  const response = await fetch(url, { method: 'POST', body, headers: new Headers({ 'X-Signature': `v1=${signature}`, 'X-Timestamp': stamp, 'Content-Type': 'application/json; charset=utf-8' }) })
  const given = Buffer.from(response.headers.get('x-echo-signature') || '', 'hex')
  const wanted = Buffer.from(signature, 'hex')
  return { status: response.status, same: given.length === wanted.length && crypto.timingSafeEqual(given, wanted), type: response.headers.get('content-type') }
}
