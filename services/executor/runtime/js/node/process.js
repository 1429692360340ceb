// What bundled packages ask of Node's `process`; user code never sees it.
const { now } = Date;

export const process = {
  version: 'v24.0.0',
  versions: { node: '24.0.0' },
  platform: 'linux',
  arch: 'x64',
  env: {},
  argv: [],
  cwd: () => '/',
  hrtime: () => [Math.floor(now() / 1000), (now() % 1000) * 1e6],
  nextTick: (callback, ...args) => void Promise.resolve().then(() => callback(...args)),
};
export default process;
