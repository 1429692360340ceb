class MissingField extends InvalidEventPayload {
  constructor(path) { super(`${path} is required`); this.path = path }
}
const required = (event, path) => {
  const value = _.get(event, path)
  if (value === undefined || value === '') throw new MissingField(path)
  return value
}
async function onTrack(event) {
  switch (event.event) {
    case 'Signed Up': return { id: required(event, 'properties.account.id'), plan: required(event, 'properties.plan') }
    case 'Dropped': throw new DropEvent('not interesting')
    case 'Later': throw new RetryError('come back')
    case 'Odd': throw { name: 'ValidationError', message: 'only looks like one' }
    case 'Text': throw 'a text'
    case 'Nothing': throw undefined
    case 'Rejects': return Promise.reject(new ValidationError('rejected'))
    default: throw new EventNotSupported(`track ${event.event}`)
  }
}
