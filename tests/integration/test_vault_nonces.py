"""Nonces at the number at which a weak source would show."""

from __future__ import annotations

import os

import pytest

from kit.vault import NONCE_BYTES, DataKey, setting_place

pytestmark = pytest.mark.integration

PLACE = setting_place("acme", "crm", "apiKey")
# Of each of two processes; a second of each.
SEALINGS = 500_000


def nonces(key: DataKey) -> bytes:
    return b"".join(key.encrypt(b"", PLACE).nonce for _ in range(SEALINGS))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_no_nonce_repeats_among_a_million_of_a_process_and_its_fork() -> None:
    """G8"""
    key = DataKey.generate()
    key.encrypt(b"", PLACE)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(nonces(key))
        os._exit(0)
    os.close(writer)
    ours = nonces(key)
    with os.fdopen(reader, "rb") as pipe:
        both = ours + pipe.read()
    os.waitpid(child, 0)
    assert len({both[at : at + NONCE_BYTES] for at in range(0, len(both), NONCE_BYTES)}) == 2 * SEALINGS
