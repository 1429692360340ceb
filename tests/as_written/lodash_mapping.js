const FIELDS = { 'traits.firstName': 'first_name', 'traits.address.city': 'city', 'context.page.referrer': 'referrer' }

async function onIdentify(event, settings) {
  const mapped = _.transform(FIELDS, (out, target, path) => _.has(event, path) && _.set(out, target, _.get(event, path)), {})
  const custom = _.chain(event.traits).omit(['firstName', 'address']).mapKeys((v, k) => _.snakeCase(k)).mapValues((v) => (_.isArray(v) ? _.uniq(v).join(';') : v)).pickBy(_.negate(_.isNil)).value()
  const payload = _.merge({}, { attributes: mapped }, { attributes: custom }, { tags: _.sortBy(_.flattenDeep(event.traits.tagGroups || []), _.toLower) })
  const text = _.template('Hello <%= attributes.first_name %>! <% _.forEach(tags, function (t) { %>#<%- t %> <% }) %>')(payload)
  await fetch(settings.endpoint + '/users/' + _.kebabCase(event.userId), { method: 'PATCH', body: JSON.stringify(payload) })
  return { payload, text, sizes: _.countBy(_.words(text), 'length'), same: _.isEqual(payload, _.cloneDeep(payload)) }
}
