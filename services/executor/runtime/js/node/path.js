// Node's `path` (posix), as far as form-data uses it for file names.
export function basename(path) {
  const trimmed = String(path).replace(/\/+$/, '');
  return trimmed.slice(trimmed.lastIndexOf('/') + 1);
}

export function extname(path) {
  const name = basename(path);
  const dot = name.lastIndexOf('.');
  return dot <= 0 ? '' : name.slice(dot);
}

export function normalize(path) {
  const absolute = path.startsWith('/');
  const parts = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.length && parts.at(-1) !== '..') parts.pop();
    else if (!absolute) parts.push('..');
  }
  const joined = parts.join('/') + (parts.length && path.endsWith('/') ? '/' : '');
  return absolute ? '/' + joined : joined || '.';
}
export default { basename, extname, normalize };
