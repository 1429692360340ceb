// Posts a card to a channel for orders above an amount.
async function onTrack(event, settings) {
  if (event.event !== 'Order Completed') throw new EventNotSupported(`${event.event} is not posted`)
  const { total, currency = 'USD', order_id } = event.properties
  if (total < Number(settings.minimum)) return { skipped: true }
  const body = {
    type: 'message',
    attachments: [{ contentType: 'application/vnd.microsoft.card.adaptive', content: { type: 'AdaptiveCard', version: '1.4', body: [
      { type: 'TextBlock', size: 'Large', text: `Order ${order_id}` },
      { type: 'FactSet', facts: [{ title: 'Total', value: new Intl.NumberFormat('en-US', { style: 'currency', currency }).format(total) }, { title: 'Customer', value: event.userId }] },
    ] } }],
  }
  const response = await fetch(settings.webhookUrl, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) })
  if (!response.ok) {
    const error = new Error(`chat answered ${response.status}: ${await response.text()}`)
    error.status = response.status
    throw error
  }
  return response.json()
}
