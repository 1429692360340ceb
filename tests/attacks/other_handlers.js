// Tries: `module.exports`, `exports` and global handlers replaced while events run
// Meets: handlers are looked up once, when the script is loaded
const { exports: before } = module;
function attack() { module.exports = { onTrack: () => 'forged' }; exports.onTrack = before.onTrack = globalThis.onTrack = () => 'forged'; return [] }
