"""Which events a sample keeps."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final

from kit.filters.actions import Sample
from kit.fql import parse_path
from kit.fql.evaluate import field
from kit.fql.values import is_large, text_of, utf8

# Gives a number from 0 to 1, without 1.
Random = Callable[[], float]
Keeps = Callable[[dict[str, Any], Random], bool]

# Finer than any rate that a person writes, and few enough for a double to hold each place exactly: none is 1.
_HASH_BYTES: Final = 6
_HASHES: Final = float(1 << (8 * _HASH_BYTES))


def keeping(sample: Sample) -> Keeps:
    """Make the test of a sample.

    By a field, the value's hash is its place between 0 and 1, kept where it is below the rate. Nothing else
    goes into the hash: equal rates keep the same users at every destination, and a higher rate keeps them
    too. An event without the field is sampled at random: as one value, all of them would be kept or none. So is one
    with a large list or object there, which takes long to write and is nobody's id.
    """
    rate = sample.rate
    if not sample.path:
        return lambda event, random: random() < rate
    value_of = field(parse_path(sample.path))

    def keeps(event: dict[str, Any], random: Random) -> bool:
        value = value_of(event)
        return (random() if value is None or is_large(value) else place_of(value)) < rate

    return keeps


def place_of(value: Any) -> float:
    """A value's place between 0 and 1, the same for ever: the first 6 bytes of the SHA-256 of its text."""
    digest = hashlib.sha256(utf8(text_of(value))).digest()
    return int.from_bytes(digest[:_HASH_BYTES], "big") / _HASHES
