const base = new URL('https://partner.example/api/v2/?lang=en')
const common = new Headers({ 'User-Agent': 'acme-events/1.0', Accept: 'application/json' })
const encoded = btoa('static:credentials')
const version = /v(\d+)/.exec(base.pathname)[1]
const fixed = Object.freeze(Object.fromEntries(base.searchParams))

async function onPage(event, settings) {
  const url = new URL(`hits/${encodeURIComponent(event.name)}${base.search}`, settings.endpoint + base.pathname)
  for (const [key, value] of Object.entries(event.properties)) url.searchParams.append(key, value)
  url.hash = 'dropped'
  const headers = new Headers(common)
  headers.append('Authorization', `Basic ${encoded}`)
  const response = await fetch(new Request(url, { method: 'GET', headers }))
  return { url: response.url, redirected: response.redirected, version, fixed, path: base.pathname, body: await response.json() }
}
