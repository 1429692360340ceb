async function onTrack(event, settings) {
  const params = new URLSearchParams()
  params.append('v', '1')
  params.append('t', 'event')
  Object.entries(event.properties).forEach(([k, v]) => [].concat(v).forEach((x) => params.append(k, x)))
  const byText = await fetch(settings.endpoint + '/collect', { method: 'POST', headers: { 'Content-Type': 'application/x-www-form-urlencoded' }, body: params.toString() })
  const byParams = await fetch(settings.endpoint + '/collect', { method: 'POST', body: params })
  const byGet = await fetch(settings.endpoint + '/collect?' + params, { headers: { 'user-agent': 'x/1', 'accept-language': 'de' } })
  return [byText.status, byParams.status, byGet.status, await byGet.text()]
}
