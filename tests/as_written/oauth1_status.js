async function onTrack(event, settings) {
  const oauth = new OAuth.OAuth(settings.endpoint + '/request', settings.endpoint + '/access', settings.key, settings.secret, '1.0A', null, 'HMAC-SHA1')
  oauth._getNonce = () => 'fixed-nonce'
  oauth._getTimestamp = () => '1700000000'
  const answer = await new Promise((resolve, reject) => {
    oauth.post(settings.endpoint + '/statuses/update.json?trim=1', settings.token, settings.tokenSecret, { status: `${event.event} & more ü` }, (error, data, response) => (error ? reject(Object.assign(new Error(error.data), { status: error.statusCode })) : resolve({ data, status: response.statusCode })))
  })
  return answer
}
