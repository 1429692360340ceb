async function onTrack(event, settings) {
  const document = xml([{ 'soap:Envelope': [{ _attr: { 'xmlns:soap': 'http://schemas.xmlsoap.org/soap/envelope/' } }, { 'soap:Body': [{ Order: [{ _attr: { id: event.properties.order_id, total: event.properties.total } }, { Customer: event.userId }, { Note: { _cdata: event.properties.note } }, ...event.properties.products.map((p) => ({ Line: [{ _attr: { sku: p.sku } }, p.name] }))] }] }] }], { declaration: true, indent: '  ' })
  console.log(document)
  const response = await fetch(settings.endpoint + '/soap', { method: 'POST', headers: { 'Content-Type': 'text/xml; charset=utf-8', SOAPAction: '"PlaceOrder"' }, body: document })
  const text = await response.text()
  const [, id] = text.match(/<id>(.*?)<\/id>/) || []
  if (!id) throw new Error('no id in ' + text)
  return { id }
}
