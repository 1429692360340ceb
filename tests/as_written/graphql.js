const MUTATION = `
  mutation Track($input: EventInput!) {
    track(input: $input) { id }
  }`

async function onTrack(event, settings) {
  const response = await fetch(settings.endpoint + '/graphql', {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-hasura-admin-secret': settings.secret },
    body: JSON.stringify({ query: MUTATION, variables: { input: { name: event.event, at: event.timestamp, props: JSON.stringify(event.properties ?? {}) } } }),
    redirect: 'error',
    timeout: 2000,
  })
  const { data, errors } = await response.json()
  if (errors?.length) {
    console.error('GraphQL', errors)
    throw new AggregateError(errors.map((e) => new Error(e.message)), errors.map((e) => e.message).join('; '))
  }
  return data.track.id
}
