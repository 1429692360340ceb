"""Ids and secrets, as something that is handed in, so that tests own them."""

import secrets
import threading
import uuid
from typing import Protocol

from kit.clock import Clock, SystemClock

# Ids of tokens and keys are looked up, not guessed: 60 bits are unique among all that one operator makes.
TOKEN_ID_LENGTH = 12
# 32 base-32 characters are 160 bits: beyond guessing, so that a plain SHA-256 is a safe way to store them.
TOKEN_SECRET_LENGTH = 32
# Crockford's alphabet, without letters that look like digits; free of "_", which separates the parts.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"

# RFC 9562: 48 bits of milliseconds, then 12 bits that count within the millisecond.
_COUNTER_MAX = 0xFFF


class Ids(Protocol):
    """Makes ids and secrets."""

    def uuid7(self) -> str:
        """A UUID version 7; later ones of one process sort after earlier ones."""

    def token_id(self) -> str:
        """The public part of a token or key."""

    def token_secret(self) -> str:
        """The secret part of a token or key."""


class SystemIds:
    """Ids from the clock and the system's random numbers."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        # asyncio code calls this from one thread, gRPC's and V8's callbacks from others.
        self._lock = threading.Lock()
        self._last_ms = 0
        self._counter = 0

    def uuid7(self) -> str:
        ms, counter = self._tick()
        bits = (ms << 80) | (0x7 << 76) | (counter << 64) | (0b10 << 62) | secrets.randbits(62)
        return str(uuid.UUID(int=bits))

    def token_id(self) -> str:
        return _random_text(TOKEN_ID_LENGTH)

    def token_secret(self) -> str:
        return _random_text(TOKEN_SECRET_LENGTH)

    def _tick(self) -> tuple[int, int]:
        """The millisecond and the place in it; never goes back, even when the wall clock does."""
        now_ms = int(self._clock.now().timestamp() * 1000)
        with self._lock:
            if now_ms > self._last_ms:
                # A random start in the lower half keeps processes apart and leaves room to count.
                self._last_ms, self._counter = now_ms, secrets.randbits(11)
            elif self._counter < _COUNTER_MAX:
                self._counter += 1
            else:
                # More ids than the counter holds: borrow the next millisecond (RFC 9562, section 6.2).
                self._last_ms, self._counter = self._last_ms + 1, 0
            return self._last_ms, self._counter


class FakeIds:
    """Ids that count: `00000000-0000-7000-8000-000000000001`, ..., `t00000000001`, `s0000...0001`."""

    def __init__(self) -> None:
        self._made = 0

    def uuid7(self) -> str:
        return f"00000000-0000-7000-8000-{self._next():012d}"

    def token_id(self) -> str:
        return f"t{self._next():0{TOKEN_ID_LENGTH - 1}d}"

    def token_secret(self) -> str:
        return f"s{self._next():0{TOKEN_SECRET_LENGTH - 1}d}"

    def _next(self) -> int:
        self._made += 1
        return self._made


_system = SystemIds()


def uuid7() -> str:
    """A UUID version 7, for code that has no `Ids` at hand."""
    return _system.uuid7()


def token_id() -> str:
    """The public part of a token or key."""
    return _system.token_id()


def token_secret() -> str:
    """The secret part of a token or key."""
    return _system.token_secret()


def _random_text(length: int) -> str:
    # One letter takes five bits, so each byte gives one, and all of them with the same chance.
    return "".join(_ALPHABET[byte & 31] for byte in secrets.token_bytes(length))
