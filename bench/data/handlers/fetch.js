async function onTrack(event, settings) {
  const response = await fetch(settings.url, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Authorization: 'Bearer token' },
    body: JSON.stringify({ id: event.messageId, event: event.event, properties: event.properties }),
  });
  if (!response.ok) throw new RetryError(`the API answered ${response.status}`);
  const answer = await response.json();
  return answer.success;
}
