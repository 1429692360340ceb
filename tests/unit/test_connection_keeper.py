"""Connections to NATS end when their key does, and only then."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, cast

import pytest
from google.protobuf.message import Message

from kit.clock import FakeClock
from kit.errors import DeadlineExceeded, InvalidToken, OnwardError, PermissionDenied, Unavailable
from kit.eventstore.facts import NewFact
from onward.registry.v1 import facts_pb2
from services.registry.consumers.connections import ConnectionKeeper
from services.registry.handlers.door import Door

KEY, TOKEN = "onwk_5f0c77aa", "onw_77aa5f0c"  # names of connections, not secrets


class Kicker:
    """Remembers whom it was told to kick; fails as it is told to."""

    def __init__(self, *connected: str) -> None:
        self.connected = connected
        self.kicked: list[str] = []
        self.failing: set[str] = set()
        self.away = False
        self.was_asked = asyncio.Event()

    async def users(self) -> Mapping[str, int]:
        self.was_asked.set()
        if self.away:
            raise Unavailable("NATS does not say who is connected")
        return dict.fromkeys(self.connected, 1)

    async def kick(self, user: str) -> int:
        if user in self.failing:
            raise DeadlineExceeded("no answer")
        self.kicked.append(user)
        return 1


def keeper(kicker: Kicker, ended: Iterable[str] = ()) -> ConnectionKeeper:
    async def answer(names: Iterable[str]) -> list[str]:
        return [name for name in names if name in ended]

    return ConnectionKeeper(cast(Any, kicker), answer)


@pytest.mark.parametrize(
    ("fact", "name"),
    [
        (facts_pb2.WriteKeyRevoked(source="web", key="5f0c77aa"), KEY),
        (facts_pb2.TokenRevoked(token="77aa5f0c"), TOKEN),
    ],
)
async def test_what_is_revoked_is_kicked_by_name_even_where_nobody_says_who_is_connected(
    fact: Message, name: str
) -> None:
    kicker = Kicker()
    kicker.away = True
    keeping = keeper(kicker)
    keeping.notice([NewFact("anything", fact)])
    running = asyncio.create_task(keeping.run())
    async with asyncio.timeout(5):
        await kicker.was_asked.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert kicker.kicked == [name]


async def test_a_kick_that_fails_does_not_keep_the_others() -> None:
    kicker = Kicker("first", "second", "third")
    kicker.failing = {"first"}
    await keeper(kicker, ended=["first", "second"]).review()
    assert kicker.kicked == ["second"]


class Readers:
    """Stands in for the registry's authorizer."""

    def __init__(self, error: OnwardError) -> None:
        self.error = error

    async def reader(self, _token: str) -> None:
        raise self.error


@pytest.mark.parametrize("error", [InvalidToken("revoked"), PermissionDenied("not any more")])
async def test_a_reader_whose_rights_ended_is_ended(error: OnwardError) -> None:
    assert await door(error).ended([TOKEN]) == [TOKEN]


@pytest.mark.parametrize("error", [Unavailable("the database is away"), DeadlineExceeded("late")])
async def test_an_outage_of_the_database_ends_no_connection(error: OnwardError) -> None:
    kicker = Kicker(TOKEN)
    keeping = ConnectionKeeper(cast(Any, kicker), door(error).ended)
    with pytest.raises(type(error)):
        await keeping.review()
    assert kicker.kicked == []


def door(error: OnwardError) -> Door:
    """One that is to say whether readers may stay."""
    unused = cast(Any, None)
    return Door(unused, cast(Any, Readers(error)), FakeClock(), unused)
