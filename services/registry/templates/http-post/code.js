// Posts every event as JSON to an address of yours.

async function post(event, settings) {
  const headers = { 'Content-Type': 'application/json', ...settings.headers }
  if (settings.apiKey) {
    headers.Authorization = `Bearer ${settings.apiKey}`
  }
  const response = await fetch(settings.endpoint, {
    method: 'POST',
    headers,
    body: JSON.stringify(event)
  })
  const body = await response.text()
  if (!response.ok) {
    // The status decides what happens next: 408, 423, 429 and 5xx are tried again, other 4xx are not.
    const error = new Error(`the endpoint answered ${response.status}: ${body.slice(0, 200)}`)
    error.status = response.status
    throw error
  }
  return { status: response.status, body: body.slice(0, 1000) }
}

exports.onIdentify = post
exports.onTrack = post
exports.onPage = post
exports.onScreen = post
exports.onGroup = post
exports.onAlias = post
exports.onDelete = post
