async function onTrack(event, settings) {
  // No declaration: written for a script that was never strict.
  email = event.properties.email.trim().toLowerCase()
  hashed = crypto.createHash('sha256').update(email).digest('hex')
  salted = crypto.createHash('sha512').update(settings.salt, 'utf8').update(email).digest('base64')
  phone = (event.properties.phone || '').replace(/[^0-9]/g, '')
  payload = { data: [{ event_name: event.event, event_time: Math.floor(new Date(event.timestamp).getTime() / 1000), user_data: { em: [hashed], ph: phone ? [crypto.createHash('md5').update(phone).digest('hex')] : undefined }, custom_data: { value: +event.properties.revenue, salted } }] }
  res = await fetch(`${settings.endpoint}/v19.0/${settings.pixel}/events?access_token=${settings.token}`, { method: 'post', body: JSON.stringify(payload), headers: { 'content-type': 'application/json' } })
  json = await res.json()
  if (json.error) throw new Error(json.error.message)
  return json
}
