"""Verify an exported trail with nothing of Onward: python verify_trail.py FILE CHECKPOINT KEY [INDEX PROOF]

FILE is an export, CHECKPOINT a signed checkpoint, KEY its key. PROOF is what `onward audit proof INDEX --json`
prints. It needs Python 3.11 and the package cryptography; docs/audit.md has the formats.
"""

import base64
import hashlib
import json
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def checkpoint(note: str, key: str) -> tuple[int, bytes]:
    """Size and root, when the signature holds; raises otherwise."""
    text, _, signature = note.partition("\n\n")
    name, key_id, public = key.strip().split("+", 2)
    dash, signer, signed = signature.split()
    decoded = base64.b64decode(signed)
    assert (dash, signer, decoded[:4].hex()) == ("\N{EM DASH}", name, key_id), "signed by another key"
    raw = base64.b64decode(public)[1:]
    Ed25519PublicKey.from_public_bytes(raw).verify(decoded[4:], (text + "\n").encode())
    _, size, root, *_ = text.split("\n")
    return int(size), base64.b64decode(root)


def tree_hash(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, as it stands there."""
    if len(leaves) <= 1:
        return hashlib.sha256(b"\x00" + leaves[0] if leaves else b"").digest()
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + tree_hash(leaves[:half]) + tree_hash(leaves[half:])).digest()


def path_hash(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """The root that a path leads to, by the definition of PATH in section 2.1.1 read backwards."""
    if size == 1:
        return hashlib.sha256(b"\x00" + leaf).digest()
    half = 1 << (size - 1).bit_length() - 1
    if index < half:
        return hashlib.sha256(b"\x01" + path_hash(leaf, index, half, path[:-1]) + path[-1]).digest()
    return hashlib.sha256(b"\x01" + path[-1] + path_hash(leaf, index - half, size - half, path[:-1])).digest()


def main(file: str, note: str, key: str, index: str = "", proof: str = "") -> None:
    """Say what is so, or fail."""
    size, root = checkpoint(Path(note).read_text("utf-8"), Path(key).read_text("utf-8"))
    lines = Path(file).read_bytes().split(b"\n")[:-1]
    assert len(lines) >= size, f"{size} records were signed, and {len(lines)} are there"
    assert tree_hash(lines[:size]) == root, "these are not the records that were signed"
    if proof:
        path = [base64.b64decode(one) for one in json.loads(Path(proof).read_bytes())["hashes"]]
        assert path_hash(lines[int(index) - 1], int(index) - 1, size, path) == root, "the proof does not hold"
    print(f"{size} records are those that were signed")


if __name__ == "__main__":
    main(*sys.argv[1:])
