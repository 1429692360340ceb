// Node's `events` is its class itself.
const { EventEmitter } = require('./stream.js');

EventEmitter.EventEmitter = EventEmitter;
module.exports = EventEmitter;
