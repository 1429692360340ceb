"""Refusals are counted, bounded, and in nobody's way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import pytest

from kit.auth.demand import Demand
from kit.auth.denials import (
    BATCH_MAX,
    KEYS_MAX,
    OIDC,
    OVERFLOWS_PART,
    PENDING_WINDOWS,
    RESOURCE_LENGTH_MAX,
    WINDOW_S,
    DenialLog,
    Proof,
    Refusal,
    token_id,
)
from kit.auth.tokens import format_token, format_write_key
from kit.clock import FakeClock
from kit.errors import DeadlineExceeded, InvalidToken, NotFound, OnwardError, PermissionDenied, Unavailable
from onward.common.v1 import access_pb2

SECRET = "s" * 32
TOKEN = format_token("5f0c", SECRET)
EDIT = int(access_pb2.PERMISSION_FUNCTION_EDIT)
ADMINISTER = int(access_pb2.PERMISSION_SOURCE_ADMINISTER)
CRM = Demand(EDIT, "workspaces/acme/functions/crm")
EVE = "member:eve"
DENIED = PermissionDenied("no")
DENIED.principal = EVE
NOBODY = InvalidToken("who are you")
MEMBERS_MAX = KEYS_MAX[Proof.MEMBER]
OVERFLOWS_MAX = MEMBERS_MAX // OVERFLOWS_PART
PENDING_MAX = MEMBERS_MAX * PENDING_WINDOWS


@dataclass(frozen=True)
class Call:
    method: str = "/onward.registry.v1.FunctionService/SaveFunction"
    token: str = TOKEN
    client_address: str = "10.0.0.1"
    user_agent: str = "curl"


class Sink:
    """Keeps what it is given; fails as it is told to."""

    def __init__(self) -> None:
        self.given: list[Refusal] = []
        self.batches: list[int] = []
        self.failure: Exception | None = None

    async def __call__(self, refusals: Sequence[Refusal]) -> None:
        self.batches.append(len(refusals))
        if self.failure is not None:
            raise self.failure
        self.given += refusals

    @property
    def counts(self) -> list[int]:
        return [one.count for one in self.given]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def denials(sink: Sink, clock: FakeClock) -> DenialLog:
    return DenialLog(sink, clock)


def resource(number: int, workspace: str = "acme") -> Demand:
    return Demand(EDIT, f"workspaces/{workspace}/functions/f{number}")


async def test_a_thousand_like_refusals_are_two_records(denials: DenialLog, sink: Sink, clock: FakeClock) -> None:
    """D3."""
    for _ in range(1_000):
        denials.note(Call(), CRM, DENIED)
    await denials.flush()
    assert sink.counts == [1]
    clock.advance(WINDOW_S - 1)
    await denials.flush()
    assert sink.counts == [1]
    clock.advance(1)
    await denials.flush()
    assert sink.counts == [1, 999]
    clock.advance(10 * WINDOW_S)
    await denials.flush()
    assert sink.counts == [1, 999]


async def test_a_record_says_what_was_refused_to_whom_and_why_without_the_secret(
    denials: DenialLog, sink: Sink, clock: FakeClock
) -> None:
    """D3."""
    denials.note(Call(), CRM, DENIED)
    await denials.flush()
    assert sink.given == [
        Refusal(
            Call().method,
            CRM.resource,
            EDIT,
            "PERMISSION_DENIED",
            "5f0c",
            1,
            clock.now(),
            clock.now(),
            "10.0.0.1",
            "curl",
            EVE,
        )
    ]
    assert SECRET not in repr(sink.given)


async def test_repetitions_tell_the_first_and_the_last_of_them(
    denials: DenialLog, sink: Sink, clock: FakeClock
) -> None:
    began = clock.now()
    for _ in range(3):
        denials.note(Call(), CRM, DENIED)
        clock.advance(10)
    clock.advance(WINDOW_S)
    await denials.flush()
    assert [(one.count, one.first_time - began, one.last_time - began) for one in sink.given] == [
        (1, timedelta(0), timedelta(0)),
        (2, timedelta(seconds=10), timedelta(seconds=20)),
    ]


@pytest.mark.parametrize(
    ("call", "demand", "error"),
    [
        (Call(method="/other"), CRM, DENIED),
        (Call(token=format_token("77aa", SECRET)), CRM, DENIED),
        (Call(), resource(1), DENIED),
        (Call(), CRM, NotFound("not for you")),
    ],
)
async def test_what_differs_in_who_what_or_why_is_a_record_of_its_own(
    denials: DenialLog, sink: Sink, call: Call, demand: Demand, error: OnwardError
) -> None:
    denials.note(Call(), CRM, DENIED)
    denials.note(call, demand, error, EVE)
    await denials.flush()
    assert sink.counts == [1, 1]


async def test_people_without_a_token_of_ours_are_told_apart(denials: DenialLog, sink: Sink) -> None:
    """D3: tokens of an identity provider have no id."""
    for principal in (EVE, "member:ada", EVE):
        denials.note(Call(token="e30.e30.c2ln"), CRM, PermissionDenied("no"), principal)
    await denials.drain()
    assert [(one.principal, one.token_id, one.count) for one in sink.given] == [
        (EVE, OIDC, 1),
        ("member:ada", OIDC, 1),
        (EVE, OIDC, 1),
    ]


async def test_who_a_handler_serves_is_named_unless_the_error_knows_better(denials: DenialLog, sink: Sink) -> None:
    denials.note(Call(), CRM, DENIED, "member:ada")
    denials.note(Call(), CRM, PermissionDenied("no"), "member:ada")
    denials.note(Call(), CRM, PermissionDenied("no"), "anonymous")
    await denials.flush()
    assert [one.principal for one in sink.given] == [EVE, "member:ada", ""]


async def test_strangers_can_not_hide_a_members_refusal(denials: DenialLog, sink: Sink, clock: FakeClock) -> None:
    """D3."""
    sink.failure = Unavailable("away")
    for number in range(2 * PENDING_MAX):
        for workspace in ("acme", f"w{number}"):
            denials.note(Call(token=""), resource(number, workspace), NOBODY)
        if number % 1_000 == 0:
            clock.advance(WINDOW_S)
    denials.note(Call(), CRM, DENIED)
    sink.failure = None
    await denials.flush()
    # They are not even before him.
    first = sink.given[0]
    assert (first.method, first.resource, first.token_id, first.principal) == (
        Call().method,
        CRM.resource,
        "5f0c",
        EVE,
    )
    assert len(sink.given) <= 1 + KEYS_MAX[Proof.NOTHING] * PENDING_WINDOWS


async def test_holders_of_other_tokens_can_not_hide_a_members_refusal_either(denials: DenialLog, sink: Sink) -> None:
    """D3."""
    for number in range(2 * MEMBERS_MAX):
        denials.note(Call(), resource(number), NotFound("not for you"), "token:77aa")
    denials.note(Call(), CRM, DENIED)
    await denials.flush()
    assert (sink.given[0].method, sink.given[0].principal) == (Call().method, EVE)


async def test_what_a_stranger_makes_up_makes_no_further_records(
    denials: DenialLog, sink: Sink, clock: FakeClock
) -> None:
    """D3: the first is an example of what is tried."""
    for number in range(1_000):
        call = Call(token=format_token(f"{number:04}", SECRET))
        denials.note(call, resource(number), NOBODY)
    clock.advance(WINDOW_S)
    await denials.flush()
    assert [(one.resource, one.token_id, one.count) for one in sink.given] == [
        ("workspaces/acme/functions/f0", "0000", 1),
        ("workspaces/acme", "", 999),
    ]


async def test_who_tries_one_token_on_one_thing_is_told_so(denials: DenialLog, sink: Sink) -> None:
    for _ in range(10):
        denials.note(Call(), CRM, NOBODY)
    await denials.drain()
    assert [(one.resource, one.token_id, one.count) for one in sink.given] == [
        (CRM.resource, "5f0c", 1),
        (CRM.resource, "5f0c", 9),
    ]


async def test_other_failures_are_no_refusals(denials: DenialLog, sink: Sink) -> None:
    for error in (DeadlineExceeded("late"), Unavailable("away")):
        denials.note(Call(), CRM, error)
    await denials.flush()
    assert sink.given == []


async def test_of_several_things_needed_the_one_that_the_error_names_is_told(denials: DenialLog, sink: Sink) -> None:
    demand = Demand(ADMINISTER, "workspaces/acme/sources/web", also=((EDIT, CRM.resource),))

    def note(demand: Demand, permission: str, **where: str) -> None:
        error = PermissionDenied("no", metadata={"permission": permission, **where})
        denials.note(Call(), demand, error, EVE)

    note(demand, "FUNCTION_EDIT", resource=CRM.resource)
    note(demand, "NONSENSE", resource="elsewhere")
    # Found out by a handler: nothing that the call's own resource lacks.
    note(CRM, "SOURCE_ADMINISTER", sources="web")
    await denials.flush()
    assert [(one.permission, one.resource) for one in sink.given] == [
        (EDIT, CRM.resource),
        (ADMINISTER, "workspaces/acme/sources/web"),
        (ADMINISTER, CRM.resource),
    ]


@pytest.mark.parametrize(
    ("token", "known_as"),
    [
        (TOKEN, "5f0c"),
        ("", ""),
        ("the services share this", ""),
        ("eyJh.eyJz.c2ln", OIDC),
        (f"{TOKEN}\n", ""),
        (format_write_key("77aa", SECRET), "key:77aa"),
    ],
)
def test_of_a_token_only_its_id_is_told(token: str, known_as: str) -> None:
    """D3."""
    assert token_id(token) == known_as


async def test_what_strangers_say_is_cut(denials: DenialLog, sink: Sink) -> None:
    denials.note(Call(), Demand(EDIT, "workspaces/acme/\0" + "x" * 10_000), DENIED)
    await denials.flush()
    assert len(sink.given[0].resource) == RESOURCE_LENGTH_MAX
    assert "\0" not in sink.given[0].resource


async def test_beyond_a_number_of_different_ones_only_their_number_is_kept_by_workspace(
    denials: DenialLog, sink: Sink, clock: FakeClock
) -> None:
    for number in range(MEMBERS_MAX + 100):
        denials.note(Call(), resource(number), DENIED)
    for number in range(50):
        denials.note(Call(), resource(number, "other"), DENIED)
    clock.advance(WINDOW_S)
    await denials.flush()
    assert sum(sink.counts) == MEMBERS_MAX + 150
    assert [(one.resource, one.count) for one in sink.given if not one.method] == [
        ("workspaces/acme", 1),
        ("workspaces/other", 1),
        ("workspaces/acme", 99),
        ("workspaces/other", 49),
    ]
    # The next window has room again.
    denials.note(Call(), CRM, DENIED)
    await denials.flush()
    assert sink.given[-1].resource == CRM.resource


async def test_workspaces_that_strangers_name_are_bounded_too(denials: DenialLog, sink: Sink, clock: FakeClock) -> None:
    for number in range(MEMBERS_MAX + 3 * OVERFLOWS_MAX):
        denials.note(Call(), Demand(EDIT, f"workspaces/w{number}"), DENIED)
    clock.advance(WINDOW_S)
    await denials.flush()
    assert sum(sink.counts) == MEMBERS_MAX + 3 * OVERFLOWS_MAX
    told = [one for one in sink.given if not one.method]
    assert len(told) == OVERFLOWS_MAX + 2
    assert (told[-1].resource, told[-1].count) == ("", 2 * OVERFLOWS_MAX - 1)


async def test_while_the_sink_is_away_entries_are_kept_up_to_a_bound(
    denials: DenialLog, sink: Sink, clock: FakeClock
) -> None:
    sink.failure = Unavailable("away")
    for window in range(5):
        for number in range(500):
            denials.note(Call(), resource(number), DENIED)
        with pytest.raises(Unavailable):
            await denials.flush()
        clock.advance(WINDOW_S + window)
    sink.failure = None
    await denials.flush()
    assert sum(sink.counts) == PENDING_MAX
    assert max(sink.batches) == BATCH_MAX


async def test_what_the_sink_refuses_for_good_does_not_keep_others_out(denials: DenialLog, sink: Sink) -> None:
    sink.failure = ValueError("a fault of ours")
    denials.note(Call(), CRM, DENIED)
    await denials.flush()
    sink.failure = None
    denials.note(Call(), resource(1), DENIED)
    await denials.flush()
    assert [one.resource for one in sink.given] == [resource(1).resource]


async def test_the_stop_hands_on_what_was_only_counted(denials: DenialLog, sink: Sink) -> None:
    for _ in range(10):
        denials.note(Call(), CRM, DENIED)
    await denials.drain()
    assert sink.counts == [1, 9]


async def test_a_stop_does_not_wait_for_a_sink_that_is_away(clock: FakeClock) -> None:
    async def never(_refusals: Sequence[Refusal]) -> None:
        await asyncio.Event().wait()

    denials = DenialLog(never, clock)
    denials.note(Call(), CRM, DENIED)
    await denials.drain(timeout_s=0)


async def test_the_first_is_handed_on_without_being_asked_for(denials: DenialLog, sink: Sink) -> None:
    handed_on = asyncio.Event()

    async def told(refusals: Sequence[Refusal]) -> None:
        await sink(refusals)
        handed_on.set()

    denials = DenialLog(told, FakeClock())
    running = asyncio.create_task(denials.run())
    denials.note(Call(), CRM, InvalidToken("who are you"))
    async with asyncio.timeout(5):
        await handed_on.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [one.reason for one in sink.given] == ["INVALID_TOKEN"]


async def test_a_sink_that_is_cut_off_gets_the_same_again(clock: FakeClock, sink: Sink) -> None:
    begun = asyncio.Event()

    async def slow(refusals: Sequence[Refusal]) -> None:
        if not begun.is_set():
            begun.set()
            await asyncio.Event().wait()
        await sink(refusals)

    denials = DenialLog(slow, clock)
    denials.note(Call(), CRM, DENIED)
    running = asyncio.create_task(denials.run())
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await denials.drain()
    assert sink.counts == [1]
