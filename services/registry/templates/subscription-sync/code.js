// Keeps the subscriptions of a billing tool in step with events of your product.

const CHANGES = {
  'Subscription Started': { method: 'POST', path: () => '/subscriptions' },
  'Subscription Updated': { method: 'PUT', path: (id) => `/subscriptions/${encodeURIComponent(id)}` },
  'Subscription Removed': { method: 'DELETE', path: (id) => `/subscriptions/${encodeURIComponent(id)}` }
}

async function onTrack(event, settings) {
  const change = CHANGES[event.event]
  if (!change) {
    throw new EventNotSupported(`${event.event} says nothing about a subscription`)
  }
  const { subscriptionId, plan, quantity } = event.properties || {}
  if (!subscriptionId) {
    throw new ValidationError('properties.subscriptionId is required')
  }
  if (change.method === 'POST' && !plan) {
    throw new ValidationError('properties.plan is required to start a subscription')
  }
  return call(settings, change.method, change.path(subscriptionId), {
    id: subscriptionId,
    customer: event.userId,
    plan,
    quantity
  })
}

async function call(settings, method, path, subscription) {
  const response = await fetch(settings.endpoint.replace(/\/+$/, '') + path, {
    method,
    headers: {
      'Content-Type': 'application/json',
      Authorization: `Basic ${btoa(`${settings.apiKey}:`)}`
    },
    body: method === 'DELETE' ? undefined : JSON.stringify(subscription)
  })
  // What is gone already need not be removed: a repeated delivery must succeed.
  if (method === 'DELETE' && response.status === 404) {
    return 'removed before'
  }
  if (!response.ok) {
    const error = new Error(`${method} ${path} answered ${response.status}`)
    error.status = response.status
    throw error
  }
  return `${method} ${path}`
}
