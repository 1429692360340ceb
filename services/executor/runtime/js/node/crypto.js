// Node's `crypto` for the packages in lazy modules: form-data wants bytes for a boundary.
export { randomBytes } from '../crypto.js';
