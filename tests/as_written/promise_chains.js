function onTrack(event, settings) {
  var started = []
  function post(path) {
    started.push(path)
    return fetch(settings.endpoint + path, { method: 'POST', body: JSON.stringify({ e: event.event }) })
      .then(function (response) {
        if (response.status >= 400) return Promise.reject(Object.assign(new Error('HTTP ' + response.status), { statusCode: response.status }))
        return response.json()
      })
  }
  return post('/a')
    .then(function (a) { return Promise.all([a, post('/b')]) })
    .then(function (all) { return post('/c').then(function (c) { return all.concat(c) }) })
    .then(function (all) { return { ids: all.map(function (x) { return x.id }), started: started } })
    .finally(function () { console.info('finished', started.length) })
}
