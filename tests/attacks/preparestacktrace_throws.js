// Tries: a formatter that throws, a `stackTraceLimit` that is a getter
// Meets: errors are read under guard; only what they say is lost
Error.prepareStackTrace = () => { throw new Error('formatter') };
Object.defineProperty(Error, 'stackTraceLimit', { get() { throw 1 }, configurable: true });
function attack() { return [] }
