// Tells a chat channel (Microsoft Teams, or any incoming webhook that takes the same JSON) about chosen events.

async function onTrack(event, settings) {
  const wanted = settings.events || []
  if (wanted.length > 0 && !wanted.includes(event.event)) {
    throw new EventNotSupported(`${event.event} is not among the events to tell about`)
  }
  const who = _.get(event, 'context.traits.name') || event.userId || event.anonymousId
  return tell(settings, `${event.event} by ${who}`, event.properties)
}

async function onIdentify(event, settings) {
  const traits = event.traits || {}
  const who = traits.name || traits.email || event.userId || event.anonymousId
  return tell(settings, `${who} was identified`, traits)
}

async function tell(settings, title, details) {
  const facts = Object.entries(details || {})
    .slice(0, 10)
    .map(([name, value]) => ({ name, value: _.isString(value) ? value : JSON.stringify(value) }))
  const response = await fetch(settings.endpoint, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({
      '@type': 'MessageCard',
      '@context': 'https://schema.org/extensions',
      themeColor: '2563eb',
      summary: title,
      title,
      sections: [{ facts }]
    })
  })
  if (!response.ok) {
    const error = new Error(`the channel answered ${response.status}`)
    error.status = response.status
    throw error
  }
  return title
}
