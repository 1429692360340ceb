// Invites people to a survey when something happened that you want to understand.

async function onTrack(event, settings) {
  const triggers = _.isEmpty(settings.events) ? ['App Uninstalled'] : settings.events
  if (!triggers.includes(event.event)) {
    throw new EventNotSupported(`${event.event} triggers no survey`)
  }
  const traits = _.get(event, 'context.traits', {})
  const email = traits.email || _.get(event, 'properties.email')
  if (!email) {
    throw new ValidationError('context.traits.email or properties.email is required to invite somebody')
  }
  const response = await fetch(settings.endpoint, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
      Authorization: `Bearer ${settings.apiKey}`
    },
    body: JSON.stringify({
      survey: settings.survey,
      email,
      name: traits.name,
      reason: event.event,
      // The same event never invites twice, however often it is delivered.
      key: event.messageId
    })
  })
  if (!response.ok) {
    const error = new Error(`the survey tool answered ${response.status}`)
    error.status = response.status
    throw error
  }
  return `invited because of ${event.event}`
}
