"""The part of Node's `crypto` that runs in Python: operations of `hostSync` (js/crypto is the other end).

Everything that these need is imported in the zygote. A worker can open no file, not even to import a module or to tell
where an error came from.
"""

from __future__ import annotations

from typing import Final

from services.executor.runtime.crypto.agreement import agree, ecdh
from services.executor.runtime.crypto.ciphers import cipher_final, cipher_open, cipher_update
from services.executor.runtime.crypto.derivation import hkdf, pbkdf2, scrypt
from services.executor.runtime.crypto.digests import hash_digest, hmac_digest, random_bytes
from services.executor.runtime.crypto.encryption import rsa_crypt
from services.executor.runtime.crypto.frames import Operation, Refused
from services.executor.runtime.crypto.generation import key_generate
from services.executor.runtime.crypto.keys import key_export, key_import
from services.executor.runtime.crypto.signatures import sign, verify

# js/crypto/calls.js has the same numbers.
OPS: Final[dict[int, Operation]] = {
    16: hash_digest,
    17: hmac_digest,
    18: random_bytes,
    19: cipher_open,
    20: cipher_update,
    21: cipher_final,
    22: key_import,
    23: key_export,
    24: key_generate,
    25: sign,
    26: verify,
    27: rsa_crypt,
    28: pbkdf2,
    29: scrypt,
    30: hkdf,
    31: agree,
    32: ecdh,
}

__all__ = ["OPS", "Operation", "Refused"]
