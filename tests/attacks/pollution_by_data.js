// Tries: an event and JSON with `__proto__`, `constructor` and `toString`
// Meets: it is data: nothing is merged into prototypes
function attack(e) { const got = []; if ({}.polluted !== undefined || [].polluted !== undefined) got.push('polluted'); if (!Object.hasOwn(e, '__proto__') || e.__proto__.polluted !== 1) got.push('changed'); return got }
