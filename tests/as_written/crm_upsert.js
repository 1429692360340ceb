const CONTACTS = '/crm/v3/contacts'

function call(settings, method, path, body) {
  const headers = { Authorization: 'Basic ' + btoa(settings.user + ':' + settings.password), Accept: 'application/json' }
  if (body) headers['Content-Type'] = 'application/json'
  return fetch(settings.baseUrl + path, { method, headers, body: body && JSON.stringify(body) })
}

async function onIdentify(event, settings) {
  const email = (event.traits.email || '').trim().toLowerCase()
  if (!/^[^@\s]+@[^@\s]+$/.test(email)) throw new InvalidEventPayload('traits.email is not an address')
  const properties = { email, firstname: event.traits.firstName, lastname: event.traits.lastName, lifecycle: event.traits.plan === 'pro' ? 'customer' : 'lead' }
  const search = await call(settings, 'GET', `${CONTACTS}?email=${encodeURIComponent(email)}`)
  if (search.status === 404) {
    const created = await call(settings, 'POST', CONTACTS, { properties })
    console.log('created', created.status)
    return { created: (await created.json()).id }
  }
  const { id } = await search.json()
  const updated = await call(settings, 'PATCH', `${CONTACTS}/${id}`, { properties })
  console.log('updated %s with %j', id, properties)
  return { updated: id, status: updated.status }
}
