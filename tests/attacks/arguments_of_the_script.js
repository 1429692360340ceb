// Tries: the third argument of the function that the script is the body of, now and later
// Meets: it only tells where the handlers are, and is not asked again
const tell = arguments[2];
function attack() { try { tell(() => () => 'forged') } catch {} return isHosts(tell) ? ['host'] : [] }
