"""Pages of the trail: either order, searched by a text, and page tokens that nobody can make up."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from kit.eventstore.facts import NewFact
from onward.audit.v1 import audit_service_pb2 as pb
from onward.registry.v1 import facts_pb2
from services.audit.handlers import listing
from services.audit.handlers.listing import any_case
from tests.integration.audit_world import META, OTHER_TOKEN, Owner, World, owning, refusal, running
from tests.integration.test_audit_service import ACME, source, sources

pytestmark = pytest.mark.integration


@pytest.fixture
async def owner(nats_url: str) -> AsyncIterator[Owner]:
    async with owning(nats_url) as owner:
        yield owner


@pytest.fixture
async def world(database: str, nats_url: str, owner: Owner) -> AsyncIterator[World]:
    async with running(database, nats_url, owner.address) as world:
        yield world


async def pages(world: World, **wanted: Any) -> list[list[int]]:
    """The indexes on each page of a list, to its end."""
    request = pb.ListAuditEventsRequest(parent=ACME, **wanted)
    found: list[list[int]] = []
    while True:
        answer = await world.caller().ListAuditEvents(request)
        found.append([one.index for one in answer.audit_events])
        request.page_token = answer.next_page_token
        if not request.page_token:
            return found


async def indexes(world: World, **wanted: Any) -> list[int]:
    return [index for page in await pages(world, **wanted) for index in page]


async def happened(world: World, owner: Owner, count: int) -> None:
    await owner.happen(*sources(count))
    await world.recorded(count)


async def test_a_list_goes_either_way(world: World, owner: Owner) -> None:
    await happened(world, owner, 7)
    for order in (pb.ORDER_UNSPECIFIED, pb.ORDER_NEWEST_FIRST):
        assert await pages(world, order=order, page_size=3) == [[7, 6, 5], [4, 3, 2], [1]]
    assert await pages(world, order=pb.ORDER_OLDEST_FIRST, page_size=3) == [[1, 2, 3], [4, 5, 6], [7]]
    assert await pages(world, order=pb.ORDER_OLDEST_FIRST, page_size=7) == [[1, 2, 3, 4, 5, 6, 7]]
    assert await pages(world, order=pb.ORDER_OLDEST_FIRST, target="functions") == [[]]
    assert await pages(world, order=pb.ORDER_OLDEST_FIRST, page_size=2, after_index=4) == [[5, 6], [7]]
    assert await pages(world, order=pb.ORDER_OLDEST_FIRST, after_index=7) == [[]]


async def test_a_list_from_the_beginning_goes_on_with_what_was_recorded_meanwhile(world: World, owner: Owner) -> None:
    await happened(world, owner, 4)
    request = pb.ListAuditEventsRequest(parent=ACME, order=pb.ORDER_OLDEST_FIRST, page_size=3)
    first = await world.caller().ListAuditEvents(request)
    await owner.happen(source("later"))
    await world.recorded(5)
    request.page_token = first.next_page_token
    assert [one.index for one in (await world.caller().ListAuditEvents(request)).audit_events] == [4, 5]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("billing", [3, 2]),
        ("BILLING", [3, 2]),
        ("über-", [4]),
        ("ÜBER", [4]),
        ("straSSe", [5]),
        ("crm", [1]),
        ("%", [6]),
        ("_x\\", [6]),
        (".*", []),
        ("(", [6]),
        ("token:9z", [7]),
        ("member:ad", [7]),
        ("MEMBER:ADA", [7]),
        ("nothing of that kind", []),
    ],
)
async def test_a_text_is_found_in_names_and_principals_in_whatever_case(
    world: World, owner: Owner, text: str, found: list[int]
) -> None:
    """H12: what means something to the database is taken literally."""
    names = [("crm", "x"), ("billing", "y"), ("s3", "My Billing API"), ("s4", "Über-API"), ("s5", "Straße, Strasse")]
    facts = await owner.happen(*(source(*one) for one in names), source("s6", "100% (_x\\)"))
    ada = replace(META, principal="member:ada", credential="token:9z")
    await owner.happen(source("s7", "z"), meta=ada)
    await world.recorded(len(facts) + 1)
    assert await indexes(world, text=text) == found
    assert await indexes(world, text=text, order=pb.ORDER_OLDEST_FIRST) == found[::-1]


async def test_a_search_looks_at_a_bounded_number_of_records_a_page_and_finds_all(
    world: World, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "SCAN_MAX", 10)
    names = ["needle" if number in (3, 4, 30) else "hay" for number in range(1, 36)]
    await owner.happen(*(source(f"s{number}", name) for number, name in enumerate(names, 1)))
    await world.recorded(35)
    assert await pages(world, text="needle") == [[30], [], [], [4, 3]]
    assert await pages(world, text="needle", order=pb.ORDER_OLDEST_FIRST) == [[3, 4], [], [30], []]
    assert await pages(world, text="needle", page_size=1) == [[30], [], [], [4], [3]]
    # Bounded is what is looked at, after the filter.
    assert await pages(world, text="needle", target="sources/s4") == [[4]]


async def test_a_page_of_large_events_that_match_is_shorter_and_none_is_left_out(world: World, owner: Owner) -> None:
    labels = {f"label{number}": "x" * 3000 for number in range(100)}
    for number in range(6):
        created = facts_pb2.SourceCreated(source=f"s{number}", display_name="large", labels=labels)
        await owner.happen(NewFact(f"sources/s{number}", created))
    await world.recorded(6)
    found = await pages(world, text="large")
    assert len(found) > 1
    assert [index for page in found for index in page] == [6, 5, 4, 3, 2, 1]
    assert await indexes(world, order=pb.ORDER_OLDEST_FIRST) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("changed", [{"text": "s"}, {"order": pb.ORDER_OLDEST_FIRST}, {"principal": "token:a"}])
async def test_a_page_token_is_for_the_list_that_made_it(world: World, owner: Owner, changed: dict[str, Any]) -> None:
    await happened(world, owner, 3)
    request = pb.ListAuditEventsRequest(parent=ACME, page_size=1)
    request.page_token = (await world.caller().ListAuditEvents(request)).next_page_token
    assert [one.index for one in (await world.caller().ListAuditEvents(request)).audit_events] == [2]
    other = pb.ListAuditEventsRequest(parent=ACME, page_size=1, page_token=request.page_token, **changed)
    assert await refused(world, other) == ("INVALID_ARGUMENT", "INVALID_PAGE_TOKEN")


async def test_page_tokens_that_somebody_made_up_are_refused(world: World, owner: Owner) -> None:
    await happened(world, owner, 3)
    request = pb.ListAuditEventsRequest(parent=ACME, page_size=1)
    good = (await world.caller().ListAuditEvents(request)).next_page_token
    raw = base64.urlsafe_b64decode(good + "=" * (-len(good) % 4))
    further = base64.urlsafe_b64encode(raw[:16] + b"[9999]").decode().rstrip("=")
    for token in (further, good[:-2], good + "AA", "x", "\u00e9", "A" * 2000, "WzFd"):
        request.page_token = token
        assert await refused(world, request) == ("INVALID_ARGUMENT", "INVALID_PAGE_TOKEN")
    # Nor does it open another workspace's list.
    request.page_token = good
    request.parent = "workspaces/other"
    assert await refused(world, request, OTHER_TOKEN) == ("INVALID_ARGUMENT", "INVALID_PAGE_TOKEN")


@pytest.mark.parametrize(
    "wrong",
    [{"after_index": 1}, {"after_index": -1}, {"text": "x" * 101}, {"text": "a\0b"}, {"order": 7}, {"page_size": -1}],
)
async def test_a_list_that_makes_no_sense_is_refused(world: World, wrong: dict[str, Any]) -> None:
    assert (await refused(world, pb.ListAuditEventsRequest(parent=ACME, **wrong)))[0] == "INVALID_ARGUMENT"


async def refused(world: World, request: pb.ListAuditEventsRequest, token: str = "") -> tuple[str, str]:
    caller = world.caller(token) if token else world.caller()
    return await refusal(lambda: caller.ListAuditEvents(request))


async def test_what_says_that_it_happened_long_ago_shows_when_it_was_recorded(world: World, owner: Owner) -> None:
    """D11: and it is the next in the trail, whatever it says."""
    await happened(world, owner, 2)
    long_ago = datetime(2001, 1, 1, tzinfo=UTC)
    await owner.happen(source("old"), meta=replace(META, occurred_at=long_ago))
    await owner.happen(source("new"))
    await world.recorded(4)
    events = await world.events()
    assert events[2].occur_time.ToDatetime(UTC) == long_ago
    recorded = [one.record_time.ToNanoseconds() for one in events]
    assert recorded == sorted(recorded)
    assert events[2].record_time.ToDatetime(UTC).year > 2020
    assert [one.target_id for one in events] == ["s0", "s1", "old", "new"]


def test_a_text_becomes_an_expression_that_matches_nothing_else() -> None:
    assert any_case("a1") == "(?:A|a)(?:1)"
    assert any_case(".") == "(?:\\U0000002e)"
    assert any_case("ß") == "(?:SS|ß)"


async def test_acts_in_a_time_are_found_also_when_they_were_told_late(world: World, owner: Owner) -> None:
    """D11"""
    began = datetime.now(UTC).replace(microsecond=0)
    # Minutes before or after they are recorded, in no order.
    shifts = [0, -300, 0, 120, -301, -5, 0, -299, 121, 3]
    for number, shift in enumerate(shifts):
        await owner.happen(source(f"s{number}"), meta=replace(META, occurred_at=began + timedelta(minutes=shift)))
    await world.recorded(len(shifts))
    for start, end in ((-302, -298), (-300, -299), (-10, 200), (119, 121), (-1000, 1000), (-298, -6), (500, 600)):
        expected = [at + 1 for at, shift in enumerate(shifts) if start <= shift < end]
        moments: dict[str, Timestamp] = {}
        for field, shift in (("start_time", start), ("end_time", end)):
            moments[field] = Timestamp()
            moments[field].FromDatetime(began + timedelta(minutes=shift))
        for order in (pb.ORDER_NEWEST_FIRST, pb.ORDER_OLDEST_FIRST):
            found = await pages(world, order=order, page_size=2, **moments)
            in_order = expected if order == pb.ORDER_OLDEST_FIRST else expected[::-1]
            assert [index for page in found for index in page] == in_order
            of_one = await pages(world, order=order, action="SourceCreated", **moments)
            assert [index for page in of_one for index in page] == in_order


async def test_a_page_looks_at_a_bounded_number_of_records_whatever_the_filter(
    world: World, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "FEW", 3)
    monkeypatch.setattr(listing, "SPREAD_SCAN_MAX", 5)
    ada, bob = replace(META, principal="member:ada"), replace(META, principal="member:bob")
    for number in range(1, 25):
        fact = source("s") if number in (2, 20) else source(f"s{number}")
        await owner.happen(fact, meta=ada if number % 2 == 0 else bob)
    await world.recorded(24)
    assert await pages(world, principal="member:ada", target="sources/s") == [[20, 2]]
    found = await pages(world, principal="member:ada", action="SourceCreated")
    assert [index for page in found for index in page] == list(range(24, 0, -2))
    assert len(found) == 3
