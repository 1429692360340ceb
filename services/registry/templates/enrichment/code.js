// Looks up what is known about a person and posts the event together with it.

const CACHED_FOR_MS = 5 * 60 * 1000

async function onTrack(event, settings) {
  return enrich(event, settings)
}

async function onIdentify(event, settings) {
  return enrich(event, settings)
}

async function enrich(event, settings) {
  if (!event.userId) {
    throw new ValidationError('userId is required to look somebody up')
  }
  // One lookup a person and five minutes, also while many events arrive at once.
  const profile = await cache.load(event.userId, CACHED_FOR_MS, () => lookUp(event.userId, settings))
  const response = await fetch(settings.endpoint, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ ...event, profile })
  })
  await check(response, 'the endpoint')
  return { profileFound: profile !== null }
}

async function lookUp(userId, settings) {
  const base = settings.profilesEndpoint.replace(/\/+$/, '')
  const response = await fetch(`${base}/${encodeURIComponent(userId)}`, {
    headers: { Authorization: `Basic ${btoa(`${settings.profilesKey}:`)}` }
  })
  if (response.status === 404) {
    return null
  }
  await check(response, 'the profile API')
  return response.json()
}

async function check(response, who) {
  if (!response.ok) {
    const error = new Error(`${who} answered ${response.status}`)
    error.status = response.status
    throw error
  }
}
