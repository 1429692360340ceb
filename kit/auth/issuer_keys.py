"""The issuer's keys as they are remembered: asked for rarely, by one at a time, and kept through an outage."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from kit.auth.issuer import IssuerUnavailable
from kit.auth.jwks import Key, KeySet
from kit.clock import Clock
from kit.errors import InvalidToken, Unavailable

log = structlog.get_logger(__name__)

# The longest that a key works after the issuer withdrew it, as long as the issuer answers.
FRESH_S = 10 * 60.0
# The longest that it works while the issuer does not answer: a night's outage, and no more.
STALE_S_MAX = 24 * 3_600.0
# Anybody can make up ids of keys; this is what the issuer has to bear for it.
UNKNOWN_KEY_PAUSE_S = 30.0
# An issuer that just failed is left alone for so long; shorter where nothing works without it.
FAILURE_PAUSE_S = 30.0
FAILURE_PAUSE_WITHOUT_KEYS_S = 5.0
# A slow issuer may hold up a call for so long where older keys would do.
REFRESH_WAIT_S = 1.0
# Anybody can make up a token that needs the issuer's answer: those who wait for it must not take all places for calls.
WAITERS_MAX = 16
FULL_PAUSE_S = 1.0

Fetch = Callable[[], Awaitable[KeySet]]


@dataclass(frozen=True, slots=True)
class _Held:
    keys: KeySet
    fetched_at: float


class IssuerKeys:
    """The keys of one issuer. `close` ends a fetch that may be under way."""

    def __init__(self, issuer: str, fetch: Fetch, clock: Clock, refresh_wait_s: float = REFRESH_WAIT_S) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._clock = clock
        self._refresh_wait_s = refresh_wait_s
        self._held: _Held | None = None
        self._flight: asyncio.Task[None] | None = None
        self._waiters = 0
        self._failed_at: float | None = None
        self._unknown_at: float | None = None

    async def find(self, key_id: str | None, algorithm: str) -> Key:
        """The key that a token names; raises `InvalidToken`, or `Unavailable` where no keys can be had."""
        keys = await self._current()
        key = keys.find(key_id, algorithm)
        if key is None and self._may_ask_again():
            await self._refreshed()
            key = self._usable().find(key_id, algorithm)
        if key is None:
            raise InvalidToken(
                f"The token's signature is by no key that {self._issuer} publishes for its algorithm; get a new token."
            )
        return key

    async def close(self) -> None:
        """End what is under way; nobody may wait for it any more."""
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.wait({self._flight})

    async def _current(self) -> KeySet:
        """Keys that are fresh; older ones where the issuer does not answer, or not soon."""
        age = self._age()
        if age is None or age >= STALE_S_MAX:
            if not self._pausing(FAILURE_PAUSE_WITHOUT_KEYS_S):
                await self._refreshed()
        elif age >= FRESH_S and not self._pausing(FAILURE_PAUSE_S):
            # Where too many wait, the older keys do as well.
            with suppress(Unavailable):
                await self._refreshed(self._refresh_wait_s)
        return self._usable()

    def _usable(self) -> KeySet:
        age = self._age()
        if self._held is not None and age is not None and age < STALE_S_MAX:
            return self._held.keys
        raise Unavailable(
            f"The keys of the identity provider {self._issuer} can't be fetched, so its tokens can't be checked; "
            "try again.",
            retry_after_s=FAILURE_PAUSE_WITHOUT_KEYS_S,
        )

    def _age(self) -> float | None:
        return None if self._held is None else self._clock.monotonic() - self._held.fetched_at

    def _pausing(self, pause_s: float) -> bool:
        return self._failed_at is not None and self._clock.monotonic() - self._failed_at < pause_s

    def _may_ask_again(self) -> bool:
        """Whether an unknown key is worth a question; one that is being asked anyway is."""
        if self._flight is not None:
            return True
        now = self._clock.monotonic()
        if self._pausing(FAILURE_PAUSE_S):
            return False
        if self._unknown_at is not None and now - self._unknown_at < UNKNOWN_KEY_PAUSE_S:
            return False
        self._unknown_at = now
        return True

    async def _refreshed(self, wait_s: float | None = None) -> None:
        """Ask, or join who asks already; raises Unavailable where too many do. A caller's end ends it for him alone."""
        if self._waiters >= WAITERS_MAX:
            raise Unavailable(
                f"Too many calls wait for the keys of the identity provider {self._issuer}; try again.",
                retry_after_s=FULL_PAUSE_S,
            )
        if self._flight is None:
            self._flight = asyncio.get_running_loop().create_task(self._refresh(), name="issuer-keys")
            self._flight.add_done_callback(self._landed)
        # Unlike wait_for, this leaves the task alone, whether the time is up or the caller is cancelled.
        self._waiters += 1
        try:
            await asyncio.wait({self._flight}, timeout=wait_s)
        finally:
            self._waiters -= 1

    def _landed(self, flight: asyncio.Task[None]) -> None:
        self._flight = None
        if not flight.cancelled() and (error := flight.exception()) is not None:
            self._failed_at = self._clock.monotonic()
            log.error("issuer_keys_failed", issuer=self._issuer, exc_info=error)

    async def _refresh(self) -> None:
        asked_at = self._clock.monotonic()
        try:
            keys = await self._fetch()
        except IssuerUnavailable as error:
            self._failed_at = self._clock.monotonic()
            log.warning("issuer_keys_unavailable", issuer=self._issuer, failure=str(error))
            return
        self._failed_at = None
        self._held = _Held(keys, asked_at)
        log.info("issuer_keys_fetched", issuer=self._issuer, keys=len(keys.keys), passed_over=keys.passed_over)
