// Node's `crypto` for bundled packages: form-data wants bytes for a boundary, which need not be secret.
import { Buffer } from '../web/buffer.js';

const { random } = Math;

export const randomBytes = (size) => Buffer.from(Array.from({ length: size }, () => random() * 256));
export default { randomBytes };
