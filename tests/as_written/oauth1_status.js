async function onTrack(event, settings) {
  const oauth = new OAuth.OAuth('https://api.example/request', 'https://api.example/access', settings.key, settings.secret, '1.0A', null, 'HMAC-SHA1')
  oauth._getNonce = () => 'fixed-nonce'
  oauth._getTimestamp = () => '1700000000'
  const text = `${event.event} & more ü`
  const header = oauth.authHeader('https://api.example/statuses/update.json?status=' + encodeURIComponent(text), settings.token, settings.tokenSecret, 'POST')
  const answer = await fetch(settings.endpoint + '/statuses/update.json', { method: 'POST', headers: { Authorization: header }, body: new URLSearchParams({ status: text }) })
  if (!answer.ok) throw Object.assign(new Error(await answer.text()), { status: answer.status })
  return answer.json()
}
