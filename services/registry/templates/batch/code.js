// Posts many events in one request. Which of them the endpoint refused, it tells in its answer:
// { "errors": [{ "index": 1, "status": 400, "message": "email is missing" }] }, counting from 0; an answer without
// "errors" means that it took them all.

// Called with several events where the destination batches them. Answers one result for each event, in the same order:
// those with status 408, 423, 429 or 5xx are tried again, other failures are not.
async function onBatch(events, settings) {
  const errors = await post(events, settings)
  const results = events.map(() => ({ status: 200, errormessage: '' }))
  for (const { index, status, message } of errors) {
    results[index] = { status, errormessage: message }
  }
  return results
}

// Called with one event: a batch of one.
async function onSingle(event, settings) {
  const [result] = await onBatch([event], settings)
  if (result.status >= 300) {
    throw failure(result.status, `the endpoint refused the event: ${result.errormessage}`)
  }
  return result
}

exports.onIdentify = onSingle
exports.onTrack = onSingle
exports.onPage = onSingle
exports.onScreen = onSingle
exports.onGroup = onSingle
exports.onAlias = onSingle
exports.onDelete = onSingle

async function post(events, settings) {
  const headers = { 'Content-Type': 'application/json' }
  if (settings.apiKey) {
    headers.Authorization = `Bearer ${settings.apiKey}`
  }
  const response = await fetch(settings.endpoint, {
    method: 'POST',
    headers,
    body: JSON.stringify({ events })
  })
  if (!response.ok) {
    // Nothing was taken: what is thrown here counts for every event of the batch.
    throw failure(response.status, `the endpoint answered ${response.status}`)
  }
  // An empty answer, or one that is no JSON, has no errors to tell of.
  const answer = await response.json().catch(() => null)
  const errors = answer && answer.errors
  return Array.isArray(errors) ? errors.filter(({ index }) => index in events) : []
}

// The status decides what happens next, as it does in a batch.
function failure(status, message) {
  const error = new Error(message)
  error.status = status
  return error
}
