// Names that bundled packages take from Node's global scope; esbuild binds them to ours, so that user code that
// overwrites a global breaks only itself.
export { Buffer } from './web/buffer.js';
export { TextEncoder, TextDecoder } from './web/encoding.js';
export { process } from './node/process.js';
