// Each event of the source calls the handler of its type. Keep those that you need and delete the others:
// a type without a handler ends as "Unsupported Event Type" and is not retried.

// Replace this by the address of your tool, or make it a setting.
const endpoint = 'https://example.com/events'

async function onIdentify(event, settings) {
  return send(event, settings)
}

async function onTrack(event, settings) {
  return send(event, settings)
}

async function onPage(event, settings) {
  return send(event, settings)
}

async function onScreen(event, settings) {
  return send(event, settings)
}

async function onGroup(event, settings) {
  return send(event, settings)
}

async function onAlias(event, settings) {
  return send(event, settings)
}

async function onDelete(event, settings) {
  return send(event, settings)
}

async function send(event, settings) {
  const headers = { 'Content-Type': 'application/json' }
  if (settings.apiKey) {
    headers.Authorization = `Basic ${btoa(`${settings.apiKey}:`)}`
  }
  const response = await fetch(endpoint, { method: 'POST', headers, body: JSON.stringify(event) })
  if (!response.ok) {
    // The status decides what happens next: 408, 423, 429 and 5xx are tried again, other 4xx are not.
    const error = new Error(`the endpoint answered ${response.status}`)
    error.status = response.status
    throw error
  }
  return response.status
}
