export const reply = (bytes, options = {}) => {
  const port = receiver.split(':')[2];
  const b = Buffer.from(bytes.replaceAll(port, '{port}'), 'latin1').toString('base64url');
  const more = Object.entries(options).map(([name, value]) => `&${name}=${value}`);
  return `${receiver}/reply?b=${b}${more.join('')}`;
};
