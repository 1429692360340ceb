// Node's `crypto` for bundled packages.
export { randomBytes } from '../crypto.js';
