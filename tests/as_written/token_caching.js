let token = null
let expires = 0
let asked = 0

async function bearer(settings) {
  if (token && Date.now() < expires) return token
  asked += 1
  const response = await fetch(settings.endpoint + '/oauth/token', {
    method: 'POST',
    headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
    body: `grant_type=client_credentials&client_id=${encodeURIComponent(settings.id)}&client_secret=${encodeURIComponent(settings.secret)}`,
  })
  if (response.status !== 200) throw new RetryError(`token: ${response.status}`)
  const grant = await response.json()
  token = grant.access_token
  expires = Date.now() + grant.expires_in * 1000
  return token
}

async function onTrack(event, settings) {
  const response = await fetch(`${settings.endpoint}/events`, { method: 'POST', headers: { authorization: `Bearer ${await bearer(settings)}` }, body: JSON.stringify(event) })
  if (response.status === 401) token = null
  return { asked, status: response.status }
}
