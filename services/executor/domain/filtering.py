"""Filters before a handler: the same draw for every attempt of a delivery."""

from __future__ import annotations

import hashlib

import orjson

from kit.filters import FilterChain
from kit.filters.sampling import Random

_DRAW_BYTES = 6
_DRAWS = float(1 << (8 * _DRAW_BYTES))


def filtered(chain: FilterChain, payload: bytes, delivered_as: str) -> tuple[bytes | None, str]:
    """Give what the filters leave of an event, and the name of the one that dropped it.

    The event is None where it is dropped, and `payload` itself where nothing changed. `delivered_as` names destination
    and messageId, from which a sample at random draws.
    """
    event = orjson.loads(payload)
    applied = chain.apply(event, draws(delivered_as))
    if applied.event is None:
        return None, applied.dropped_by
    return (payload if applied.event is event else orjson.dumps(applied.event)), ""


def draws(delivered_as: str) -> Random:
    """Make numbers from 0 to 1 that are the same whenever they are drawn, so that a retry is not sampled out."""
    drawn = 0

    def draw() -> float:
        nonlocal drawn
        drawn += 1
        digest = hashlib.sha256(f"{drawn} {delivered_as}".encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:_DRAW_BYTES], "big") / _DRAWS

    return draw
