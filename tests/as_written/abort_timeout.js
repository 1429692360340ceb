async function onTrack(event, settings) {
  const controller = new AbortController()
  const timer = setTimeout(() => controller.abort(), 1500)
  try {
    const response = await fetch(settings.endpoint + '/' + event.event, { signal: controller.signal })
    return { ok: response.ok, body: await response.text() }
  } catch (error) {
    console.log(error.name, error.type, error.message)
    if (error.name === 'AbortError') return { fallback: true, aborted: controller.signal.aborted }
    throw error
  } finally {
    clearTimeout(timer)
  }
}
