"""The Python side of user code's `crypto`."""

from __future__ import annotations

import hashlib
import hmac
import struct

import pytest

from services.executor.runtime.crypto_ops import HASH, HMAC, OPS, RANDOM, RANDOM_BYTES_MAX


def framed(*parts: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(part)) + part for part in parts)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("sha256", "sha256"),
        ("SHA512", "sha512"),
        ("RSA-SHA1", "sha1"),
        ("sha3-256", "sha3_256"),
        ("sha512-256", "sha512_256"),
    ],
)
def test_names_of_openssl_give_their_digest(name: str, known: str) -> None:
    assert OPS[HASH](framed(name.encode(), b"data")) == hashlib.new(known, b"data").digest()


def test_an_empty_message_is_a_message() -> None:
    assert OPS[HASH](framed(b"md5", b"")).hex() == "d41d8cd98f00b204e9800998ecf8427e"


def test_an_hmac_takes_key_and_message_apart() -> None:
    assert OPS[HMAC](framed(b"sha256", b"key", b"data")) == hmac.digest(b"key", b"data", "sha256")


@pytest.mark.parametrize(
    ("operation", "parts"), [(HASH, (b"nope", b"")), (HASH, (b"shake_128", b"")), (HMAC, (b"nope", b"k", b""))]
)
def test_an_unknown_algorithm_is_refused(operation: int, parts: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match=r"Digest method not supported|Invalid digest: nope"):
        OPS[operation](framed(*parts))


def test_random_bytes_are_as_many_as_asked_and_never_too_many() -> None:
    assert len(OPS[RANDOM](framed(struct.pack("<I", 9)))) == 9
    assert len(OPS[RANDOM](framed(struct.pack("<I", 2**32 - 1)))) == RANDOM_BYTES_MAX
