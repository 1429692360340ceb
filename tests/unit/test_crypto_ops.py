"""The Python side of user code's `crypto`."""

from __future__ import annotations

import hashlib
import hmac
import json
import struct

import pytest

from services.executor.runtime.crypto import OPS, Refused
from services.executor.runtime.crypto.digests import DIGESTS, RANDOM_BYTES_MAX
from services.executor.runtime.crypto.ripemd160 import Ripemd160

HASH, HMAC, RANDOM = 16, 17, 18
NO_LENGTH = bytes(4)


def framed(*parts: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(part)) + part for part in parts)


@pytest.mark.parametrize("name", ["md5", "sha1", "sha256", "sha512", "sha3_256", "sha512_256", "blake2b"])
def test_a_digest_is_that_of_hashlib(name: str) -> None:
    assert OPS[HASH](framed(name.encode(), NO_LENGTH, b"data")) == hashlib.new(name, b"data").digest()


def test_an_empty_message_is_a_message() -> None:
    assert OPS[HASH](framed(b"md5", NO_LENGTH, b"")).hex() == "d41d8cd98f00b204e9800998ecf8427e"


@pytest.mark.parametrize("name", sorted(DIGESTS))
def test_an_hmac_takes_key_and_message_apart(name: str) -> None:
    digest = DIGESTS[name]
    key = bytes(range(200))
    assert OPS[HMAC](framed(name.encode(), key, b"data")) == hmac.digest(key, b"data", digest)


@pytest.mark.parametrize("size", [0, 1, 55, 56, 63, 64, 65, 119, 120, 200])
def test_ripemd160_in_python_is_that_of_openssl(size: int) -> None:
    message = bytes(range(size))
    if "ripemd160" not in hashlib.algorithms_available:
        pytest.skip("hashlib's OpenSSL has no RIPEMD-160 to compare with")
    digest = Ripemd160(message[: size // 2])
    digest.update(message[size // 2 :])
    assert digest.digest() == hashlib.new("ripemd160", message).digest()


def test_ripemd160_gives_what_its_authors_printed() -> None:
    assert Ripemd160(b"abc").digest().hex() == "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc"


@pytest.mark.parametrize(
    ("operation", "parts"),
    [(HASH, (b"nope", NO_LENGTH, b"")), (HMAC, (b"nope", b"k", b"")), (HMAC, (b"shake_128", b"k", b""))],
)
def test_an_unknown_algorithm_is_refused(operation: int, parts: tuple[bytes, ...]) -> None:
    with pytest.raises(Refused) as refused:
        OPS[operation](framed(*parts))
    assert json.loads(str(refused.value))["message"] == "Digest method not supported"


def test_random_bytes_are_as_many_as_asked_and_never_too_many() -> None:
    assert len(OPS[RANDOM](framed(struct.pack("<I", 9)))) == 9
    assert len(OPS[RANDOM](framed(struct.pack("<I", 2**32 - 1)))) == RANDOM_BYTES_MAX
