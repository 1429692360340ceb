// Tries: `Promise`, `Promise.resolve`, `Error`, `Map`, `JSON` and `Date` put out of the way
// Meets: what was captured before is used
JSON.stringify = () => '{"value":"forged"}'; JSON.parse = () => ({ n: 1, t: ['onTrack'], c: [1], e: [] });
Promise.resolve = Promise.reject = Promise.all = () => 'forged'; Date.now = () => 0; Reflect.apply = () => 'forged';
globalThis.Promise = globalThis.Error = globalThis.Map = globalThis.JSON = globalThis.Date = globalThis.Reflect = undefined;
function attack() { return [] }
