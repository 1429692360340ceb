async function* pages(settings) {
  let next = `${settings.endpoint}/lists?limit=2`
  while (next) {
    const response = await fetch(next, { headers: { 'Api-Key': settings.key } })
    if (!response.ok) throw Object.assign(new Error('list failed'), { response })
    const { items, cursor } = await response.json()
    yield* items
    next = cursor ? `${settings.endpoint}/lists?limit=2&cursor=${encodeURIComponent(cursor)}` : null
  }
}

async function onGroup(event, settings) {
  const wanted = event.traits.list
  for await (const list of pages(settings)) {
    console.debug('looking at', list)
    if (list.name === wanted) {
      await fetch(`${settings.endpoint}/lists/${list.id}/members`, { method: 'PUT', body: new URLSearchParams({ user: event.userId, group: event.groupId }) })
      return list.id
    }
  }
  throw new ValidationError(`no list ${wanted}`)
}
