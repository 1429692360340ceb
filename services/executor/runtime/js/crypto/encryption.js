// RSA as a cipher.
import { requireString, sourceBytes } from './arguments.js';
import { call, EMPTY, json, RSA_CRYPT } from './calls.js';
import { privateHandle, publicHandle } from './keys.js';
import { digestOf, RSA_PKCS1_OAEP_PADDING, RSA_PKCS1_PADDING } from './tables.js';

function method(name, defaultPadding, isPrivate) {
  return {
    [name](key, buffer) {
      const handle = isPrivate ? privateHandle(key, 'privateKey') : publicHandle(key, 'key');
      const { padding, oaepHash, oaepLabel, encoding } = key;
      if (oaepHash !== undefined) requireString(oaepHash, 'key.oaepHash');
      const label = oaepLabel === undefined ? EMPTY : sourceBytes(oaepLabel, 'key.oaepLabel', encoding);
      const data = sourceBytes(buffer, 'buffer', encoding);
      const hash = oaepHash === undefined ? undefined : (digestOf(oaepHash)?.name ?? 'unknown');
      return call(RSA_CRYPT, json({ method: name, kind: handle.kind, padding: padding || defaultPadding, hash }), handle.bytes, data, label);
    },
  }[name];
}

export const publicEncrypt = method('publicEncrypt', RSA_PKCS1_OAEP_PADDING, false);
export const publicDecrypt = method('publicDecrypt', RSA_PKCS1_PADDING, false);
export const privateEncrypt = method('privateEncrypt', RSA_PKCS1_PADDING, true);
export const privateDecrypt = method('privateDecrypt', RSA_PKCS1_OAEP_PADDING, true);
