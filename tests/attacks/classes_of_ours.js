// Tries: `RetryError.prototype`, `Symbol.hasInstance` and `Object.prototype.isPrototypeOf` replaced, so that failures of others pass
// Meets: classes are told apart by captured prototypes
Object.prototype.isPrototypeOf = () => true;
for (const Type of [RetryError, DropEvent, ValidationError]) Object.defineProperty(Type, Symbol.hasInstance, { value: () => true });
try { RetryError.prototype = DropEvent.prototype } catch {}
globalThis.RetryError = globalThis.DropEvent = class {};
function attack() { return [] }
