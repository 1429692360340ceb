// The two things that bundled packages ask of Node's `process`; user code never sees it.
export const process = {
  version: 'v24.0.0',
  nextTick: (callback, ...args) => void Promise.resolve().then(() => callback(...args)),
};
