// FormData of form-data 2 (options, getHeaders, getBuffer, getBoundary; a stream, hence a fetch body), with the Web's
// reading methods beside it.
import NodeFormData from 'form-data';
import { Blob, File, blobBytes } from './blob.js';
import { Buffer } from './buffer.js';
import { named } from './named.js';

const entriesOf = new WeakMap();
const { append } = NodeFormData.prototype;

function entries(form) {
  if (!entriesOf.has(form)) entriesOf.set(form, []);
  return entriesOf.get(form);
}

// A Blob has its bytes at hand, so that it is appended as the Buffer that form-data takes.
function blobOptions(blob, options) {
  const given = typeof options === 'string' ? { filename: options } : (options ?? {});
  return { filename: blob instanceof File ? blob.name : 'blob', contentType: blob.type || 'application/octet-stream', ...given };
}

function addPart(form, name, value, options) {
  if (value instanceof Blob) append.call(form, name, Buffer.from(blobBytes(value)), blobOptions(value, options));
  // form-data 2 takes strings, numbers, Buffers and streams; the Web's class also takes any other primitive.
  else append.call(form, name, typeof value === 'boolean' || typeof value === 'bigint' ? String(value) : value, options);
}

function rebuild(form, kept) {
  Object.assign(form, { _streams: [], _overheadLength: 0, _valueLength: 0, _valuesToMeasure: [] });
  entriesOf.set(form, kept);
  for (const { name, value, options } of kept) addPart(form, name, value, options);
}

const shown = (value) => (typeof value === 'object' && value !== null ? value : String(value));

const methods = {
  append(name, value, options) {
    addPart(this, name, value, options);
    if (!Array.isArray(value)) entries(this).push({ name: String(name), value, options });
  },
  set(name, value, options) {
    const known = entries(this);
    const first = known.findIndex((entry) => entry.name === String(name));
    const entry = { name: String(name), value, options };
    const kept = known.filter((other, index) => other.name !== entry.name || index === first);
    if (first < 0) kept.push(entry);
    else kept[kept.findIndex((other) => other.name === entry.name)] = entry;
    rebuild(this, kept);
  },
  delete(name) {
    rebuild(this, entries(this).filter((entry) => entry.name !== String(name)));
  },
  has(name) {
    return entries(this).some((entry) => entry.name === String(name));
  },
  get(name) {
    const entry = entries(this).find((known) => known.name === String(name));
    return entry ? shown(entry.value) : null;
  },
  getAll(name) {
    return entries(this).filter((entry) => entry.name === String(name)).map((entry) => shown(entry.value));
  },
  forEach(callback, thisArgument) {
    for (const [name, value] of this) callback.call(thisArgument, value, name, this);
  },
  *keys() {
    for (const { name } of entries(this)) yield name;
  },
  *values() {
    for (const { value } of entries(this)) yield shown(value);
  },
  *entries() {
    for (const { name, value } of entries(this)) yield [name, shown(value)];
  },
};

for (const [name, value] of Object.entries(methods)) {
  Object.defineProperty(NodeFormData.prototype, name, { value, writable: true, configurable: true });
}
Object.defineProperty(NodeFormData.prototype, Symbol.iterator, { value: methods.entries, writable: true, configurable: true });

named({ FormData: NodeFormData });

export { NodeFormData as FormData };
