// Posts every event as JSON and says on the console what came back.

async function post(event, settings) {
  const started = Date.now()
  const response = await fetch(settings.endpoint, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...settings.headers },
    body: JSON.stringify(event)
  })
  const body = await response.text()
  console.log(`${event.type} ${event.messageId} answered ${response.status} after ${Date.now() - started} ms`)
  if (!response.ok) {
    console.warn(`the warehouse says: ${body}`)
    // The status decides what happens next: 408, 423, 429 and 5xx are tried again, other 4xx are not.
    const error = new Error(`the warehouse answered ${response.status}: ${body}`)
    error.status = response.status
    throw error
  }
  return { status: response.status }
}

exports.onIdentify = post
exports.onTrack = post
exports.onPage = post
exports.onScreen = post
exports.onGroup = post
exports.onAlias = post
exports.onDelete = post
