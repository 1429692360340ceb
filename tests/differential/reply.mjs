export const reply = (bytes, options = {}) => {
  const b = Buffer.from(bytes, 'latin1').toString('base64url');
  const more = Object.entries(options).map(([name, value]) => `&${name}=${value}`);
  return `${receiver}/reply?b=${b}${more.join('')}`;
};
