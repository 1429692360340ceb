"""Whatever bytes reach an operation of `crypto`, JavaScript gets an answer, and no secret in a refusal."""

from __future__ import annotations

import ctypes
import json
import struct
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.executor.runtime.crypto import OPS
from services.executor.runtime.crypto.frames import framed
from services.executor.runtime.host_calls import HostCalls

BUFFER_BYTES = 16 + 4096
SECRET = b"marshmallow-marshmallow-marshmal"
NAMES = {"Error", "TypeError", "RangeError"}
FUZZED = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def answer(operation: int, data: bytes) -> tuple[int, bytes]:
    """Status and answer of one call, passed in chunks as host.js does it."""
    shared = ctypes.create_string_buffer(BUFFER_BYTES)
    calls = HostCalls(OPS, ctypes.addressof(shared), BUFFER_BYTES)
    room = BUFFER_BYTES - 16
    chunks = [data[at : at + room] for at in range(0, len(data), room)] or [b""]
    for at, chunk in enumerate(chunks):
        struct.pack_into("<iiii", shared, 0, operation, len(chunk), at < len(chunks) - 1, 0)
        ctypes.memmove(ctypes.addressof(shared) + 16, chunk, len(chunk))
        calls.serve()
    total, length, _, status = struct.unpack_from("<iiii", shared)
    found = shared.raw[16 : 16 + length]
    while len(found) < total:
        struct.pack_into("<i", shared, 0, -1)
        calls.serve()
        (length,) = struct.unpack_from("<i", shared, 4)
        found += shared.raw[16 : 16 + length]
    return status, found


def test_an_answer_is_fetched_once_by_whoever_asked() -> None:
    shared = ctypes.create_string_buffer(BUFFER_BYTES)
    calls = HostCalls({1: lambda data: data * 3, 2: lambda data: b""}, ctypes.addressof(shared), BUFFER_BYTES)

    def ask(operation: int, data: bytes = b"") -> tuple[int, ...]:
        struct.pack_into("<iiii", shared, 0, operation, len(data), 0, 0)
        ctypes.memmove(ctypes.addressof(shared) + 16, data, len(data))
        calls.serve()
        return struct.unpack_from("<iiii", shared)

    refused = 0, 0, 0, 1
    assert ask(-1) == refused
    room = BUFFER_BYTES - 16
    assert ask(1, b"s" * (room // 2)) == (room // 2 * 3, room, 0, 0)
    assert ask(-1) == (room // 2 * 3, room // 2 * 3 - room, 0, 0)
    assert ask(-1) == refused
    assert ask(2) == (0, 0, 0, 0)
    assert ask(-1) == refused


def assert_answered(operation: int, data: bytes) -> None:
    status, found = answer(operation, data)
    if status == 0:
        return
    assert status == 1
    assert SECRET not in found
    if found:
        told = json.loads(found)
        assert told["name"] in NAMES
        assert told["message"]


@pytest.mark.parametrize("operation", sorted(OPS))
@FUZZED
@given(data=st.binary(max_size=300))
def test_any_bytes_are_answered(operation: int, data: bytes) -> None:
    """E15"""
    assert_answered(operation, data)


# Numbers stay small: how long a call may take is not what is looked for here.
MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        "hash": st.sampled_from(["sha256", "md5", "ripemd160", "shake_128", "", None, 5]),
        "kind": st.sampled_from(["public", "private", "secret", 5]),
        "format": st.sampled_from(["pem", "der", "jwk", "raw-public", "raw-private", 5, None]),
        "type": st.sampled_from(["pkcs1", "pkcs8", "sec1", "spki", "ed25519", "x25519", "ec", "nope", None]),
        "asymmetricKeyType": st.sampled_from(["ec", "ed25519", "x448", "rsa", None]),
        "namedCurve": st.sampled_from(["prime256v1", "secp256k1", "nope", 5, None]),
        "curve": st.sampled_from(["prime256v1", "secp521r1", "nope", 5]),
        "method": st.sampled_from(["new", "public", "secret", "convert", "publicEncrypt", "privateDecrypt", "nope"]),
        "mode": st.sampled_from(["cbc", "ctr", "ecb", "gcm", "cfb8", "nope"]),
        "algorithm": st.sampled_from(["aes", "des3", "nope"]),
        "encrypts": st.booleans(),
        "encrypted": st.booleans(),
        "secret": st.booleans(),
        "dsaEncoding": st.sampled_from(["der", "ieee-p1363", None]),
        **{name: st.integers(-3, 40) for name in ("padding", "saltLength", "iterations", "length", "N", "r", "p")},
        "maxmem": st.integers(-1, 1 << 20),
        "modulusLength": st.integers(-1, 600),
        "publicExponent": st.integers(-1, 10),
    },
)
PARTS = st.lists(st.one_of(st.binary(max_size=80), st.just(SECRET), st.just(SECRET[:16])), max_size=4)


@pytest.mark.parametrize("operation", sorted(OPS))
@FUZZED
@given(members=MEMBERS, parts=PARTS)
def test_any_options_are_answered(operation: int, members: dict[str, Any], parts: list[bytes]) -> None:
    """E15"""
    assert_answered(operation, framed(json.dumps(members).encode(), *parts))


JWK_NAMES = st.sampled_from(["kty", "crv", "n", "e", "d", "p", "q", "dp", "dq", "qi", "x", "y"])
JWK_VALUES = st.one_of(
    st.sampled_from(["RSA", "EC", "OKP", "P-256", "Ed25519", "AQAB", "", "!"]),
    st.text(max_size=20),
    st.none(),
    st.integers(),
)


@FUZZED
@given(members=st.dictionaries(JWK_NAMES, JWK_VALUES, max_size=12), private=st.booleans())
def test_any_jwk_is_answered(members: dict[str, Any], private: bool) -> None:
    head = {"kind": "private" if private else "public", "format": "jwk"}
    assert_answered(22, framed(json.dumps(head).encode(), json.dumps(members).encode(), b""))


def test_an_unknown_operation_is_refused() -> None:
    assert answer(999, b"") == (1, b"")


def test_what_is_too_long_is_refused_without_being_kept() -> None:
    assert answer(16, bytes((32 << 20) + 1)) == (1, b"more than 33554432 bytes")
