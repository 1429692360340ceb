"""A little of everything, once, in the zygote.

Workers can neither import nor open files, and share the memory of what is loaded by then.
"""

from __future__ import annotations

import json
from typing import Final

# `cryptography` imports it when it first makes some of the keys.
import cryptography.hazmat.backends.openssl.backend  # noqa: F401

from services.executor.runtime.crypto.ciphers import cipher_final, cipher_open, cipher_update
from services.executor.runtime.crypto.derivation import hkdf, pbkdf2
from services.executor.runtime.crypto.digests import DIGESTS
from services.executor.runtime.crypto.frames import framed
from services.executor.runtime.crypto.generation import key_generate
from services.executor.runtime.crypto.keys import key_export
from services.executor.runtime.crypto.signatures import sign, verify

_KEYS: Final = ({"type": "ed25519"}, {"type": "x25519"}, {"type": "ec", "namedCurve": "prime256v1"})


def _fields(answer: bytes) -> list[bytes]:
    found = []
    while answer:
        end = 4 + int.from_bytes(answer[:4], "little")
        found.append(answer[4:end])
        answer = answer[end:]
    return found


def _json(**members: object) -> bytes:
    return json.dumps(members).encode()


def _use_key(chosen: dict[str, str]) -> None:
    public, private = (_fields(part)[1] for part in _fields(key_generate(framed(_json(**chosen)))))
    key_export(framed(_json(kind="private", format="pem", type="pkcs8"), private, b""))
    if chosen["type"] == "x25519":
        return
    settings = _json(hash=None, kind="public")
    signature = sign(framed(settings, private, b"message"))
    verify(framed(settings, public, b"message", signature))


def _use_cipher(mode: str) -> None:
    settings = _json(algorithm="aes", mode=mode, encrypts=True)
    context = cipher_open(framed(settings, bytes(16), bytes(16), b""))
    cipher_update(framed(context, bytes(4), bytes(16)))
    cipher_final(framed(context, bytes(4), b""))


def warm_up() -> None:
    """Takes some milliseconds."""
    for digest in DIGESTS.values():
        digest(b"message").digest()
    for mode in ("cbc", "ctr", "ecb", "gcm"):
        _use_cipher(mode)
    for chosen in _KEYS:
        _use_key(chosen)
    pbkdf2(framed(_json(hash="sha256", iterations=1, length=1), b"password", b"salt"))
    hkdf(framed(_json(hash="sha256", length=1), b"key", b"salt", b"info"))
