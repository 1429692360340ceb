const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

async function onTrack(event, settings) {
  for (let attempt = 1; ; attempt++) {
    const response = await fetch(settings.endpoint + '/flaky', { method: 'POST', body: event.event })
    if (response.ok) return { attempt, answer: await response.text() }
    console.warn(`attempt ${attempt}: ${response.status} ${response.statusText}`)
    if (response.status < 500 || attempt === 3) {
      const error = new Error(`gave up after ${attempt}`)
      error.response = response
      throw error
    }
    await wait(2 ** attempt)
  }
}
