"""What a worker reads before it reads anybody's code, so that the parser and its rules are compiled by then."""

from __future__ import annotations

from typing import Final

# A little of all that check.js looks at. Nobody sees what it says of this.
SAMPLE_SETTINGS: Final = ("endpoint", "apiKey")
SAMPLE: Final = """
const retrying = (send) => async (...all) => { try { return await send(...all) } catch (error) { throw error } }
const token = 'not-a-key', HEX = /^[0-9a-f]+$/i
class Contact { constructor({ email, ...rest }) { Object.assign(this, rest, { email: email?.trim() ?? '' }) } }
async function onTrack(event, settings) {
  const { email, total = 0 } = event.properties ?? {}
  if (!email || HEX.test(token)) throw new InvalidEventPayload(`no ${typeof email}`)
  for (const [name, value] of Object.entries(event.context)) if (value > 1) console.log(name, settings.apikey)
  const response = await fetch(`${settings.endpoint}/contacts`, {
    method: 'POST', headers: { authorization: 'Bearer abcdefgh' }, body: JSON.stringify(new Contact({ email, total })),
  })
  const all = [1, 2].map(async (one) => { switch (one) { case 1: return fetch(settings['url']); default: return 0 } })
  await Promise.all(all)
  return response.ok ? { stored: email } : retrying(onTrack)
}
function onIdentity(event) { console.log(JSON.stringify(event)); fetch('https://example.com').then((r) => r.json()) }
exports.onPage = onTrack
"""
