'use strict'

const format = (event) => `${event.type}:${event.event || event.name || event.userId}`

exports.onTrack = async (event, settings) => ({ handled: format(event), prefix: settings.prefix, strict: (function () { return this === undefined })() })
exports.onIdentify = function (event) { return this === exports ? format(event) : 'wrong this' }
module.exports.onScreen = (event) => { throw new Error(`no screens (${format(event)})`) }
exports.notAHandler = 5
