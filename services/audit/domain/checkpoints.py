"""Signed checkpoints: how large a tree is and what its root is, in C2SP's formats.

https://github.com/C2SP/C2SP/blob/main/tlog-checkpoint.md and signed-note.md. The third line of ours is an extension:
the time of signing, so that whoever keeps checkpoints sees for how long none was made.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

# Of signed-note.md.
_ED25519: Final = b"\x01"
_KEY_ID_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is signed. `origin` names the log: the key's name and the workspace, such as "acme.example/onward/acme"."""

    origin: str
    size: int
    root: bytes
    time: datetime

    def text(self) -> str:
        """The note without its signature."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\ntime {time_text(self.time)}\n"


def time_text(moment: datetime) -> str:
    """In UTC with six digits, whatever the time zone is."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Signer:
    """An Ed25519 key with a name, which may hold neither spaces nor "+"."""

    def __init__(self, name: str, seed: bytes) -> None:
        """`seed` is the 32 bytes of the private key."""
        if not name or "+" in name or any(character.isspace() for character in name):
            raise ValueError("a key's name must not be empty, and hold neither spaces nor +")
        self.name = name
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        public = _ED25519 + self._key.public_key().public_bytes_raw()
        self._id = hashlib.sha256(name.encode() + b"\n" + public).digest()[:_KEY_ID_BYTES]
        # What verifiers are given: a "vkey" of signed-note.md.
        self.verifier_key = f"{name}+{self._id.hex()}+{base64.b64encode(public).decode()}"

    def sign(self, checkpoint: Checkpoint) -> str:
        """The signed note."""
        text = checkpoint.text()
        signature = base64.b64encode(self._id + self._key.sign(text.encode())).decode()
        return f"{text}\n\N{EM DASH} {self.name} {signature}\n"
