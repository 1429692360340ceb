// Where the SDK shares something between requests, and so between events: every callback must stay with its own attempt,
// and nobody may wait for one that has ended. Also, what its errors mean for a retry of the event.
const { touch } = require('../host.js');
const { isNetworkFailure, markNetworkFailure } = require('../web/network_failures.js');

const OUTSIDE = {};

// The SDK's own lets all callers wait for the first, whoever that is; here each attempt refreshes once.
function refreshPerAttempt(prototype) {
  const waiting = new WeakMap();
  prototype.coalesceRefresh = function coalesceRefresh(callback, sync) {
    const attempt = touch() ?? OUTSIDE;
    if (!waiting.has(this)) waiting.set(this, new WeakMap());
    const flights = waiting.get(this);
    const flight = flights.get(attempt);
    if (flight) return void flight.push(callback);
    const callbacks = [callback];
    flights.set(attempt, callbacks);
    this.load((error) => {
      flights.delete(attempt);
      for (const one of callbacks) {
        if (sync) one(error);
        else Promise.resolve().then(() => one(error));
      }
    });
    return undefined;
  };
}

// Uncaught errors are judged by their status; `network` counts where there is none.
function judge(response) {
  const { error } = response;
  if (!error || typeof error !== 'object') return;
  if (error.code === 'TimeoutError' || isNetworkFailure(error.originalError) || isNetworkFailure(error.originalError?.originalError)) {
    markNetworkFailure(error);
  }
  // Many services throttle with status 400; a later attempt may well succeed.
  if (error.statusCode === 400 && response.request.service.throttledError(error)) {
    Object.defineProperty(error, 'status', { value: 429, writable: true, configurable: true });
  }
}

exports.install = (AWS) => {
  refreshPerAttempt(AWS.Credentials.prototype);
  refreshPerAttempt(AWS.Token.prototype);
  AWS.events.on('complete', judge);
};
