"""Recognising a request that is repeated, by a keyed hash, since requests hold secrets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

from google.protobuf.message import Message

from kit.errors import RequestIdReused
from kit.vault import DataKey, Keyring

# Principal, request_id and hash to the stored answer.
Ask: TypeAlias = Callable[[str, str, str], Awaitable[bytes | None]]


class Request(Protocol):
    """A mutation's request."""

    request_id: str

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes: ...  # noqa: N802


class RequestHashes:
    """Hashes of requests, by a data key: a change of the operator's key does not change them.

    The first release's were made by the operator's key. They are recognised too, so that who repeats a request over
    the update gets the first answer; no answer is kept for more than some days, so the next release may drop this.
    """

    def __init__(self, key: DataKey, keyring: Keyring) -> None:
        self._key = key
        self._keyring = keyring

    def current(self, request: Request) -> str:
        """What is stored with the answer."""
        return self._key.fingerprint(_bytes(request))

    def is_of(self, request_hash: str, request: Request) -> bool:
        """Whether a stored hash is the request's."""
        return request_hash in self._possible(request)

    async def answered(self, ask: Ask, principal: str, request: Request) -> bytes | None:
        """See `Unit.answered`, which `ask` is, or the store's for the workspace."""
        first, *others = self._possible(request)
        try:
            return await ask(principal, request.request_id, first)
        except RequestIdReused:
            for request_hash in others:
                try:
                    return await ask(principal, request.request_id, request_hash)
                except RequestIdReused:
                    continue
            raise

    def _possible(self, request: Request) -> list[str]:
        former = [key.fingerprint(_bytes(request)) for key in self._keyring.keys.values()]
        return [self.current(request), *former]


def _bytes(request: Request) -> bytes:
    assert isinstance(request, Message)
    return request.DESCRIPTOR.full_name.encode() + b"\0" + request.SerializeToString(deterministic=True)
