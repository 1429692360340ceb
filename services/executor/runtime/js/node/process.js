// What bundled packages ask of Node's `process`; user code never sees it. It says which Node has built the bundle.
import { VERSION } from 'node-version';

const { now } = Date;

export const process = {
  version: VERSION,
  versions: { node: VERSION.slice(1) },
  platform: 'linux',
  arch: 'x64',
  env: {},
  argv: [],
  cwd: () => '/',
  hrtime: () => [Math.floor(now() / 1000), (now() % 1000) * 1e6],
  nextTick: (callback, ...args) => void Promise.resolve().then(() => callback(...args)),
};
export default process;
