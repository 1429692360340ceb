"""Filters before a handler: what it is given, and that retries draw as the first attempt did."""

from __future__ import annotations

import orjson

from kit.filters import Drop, DropFields, FilterChain, FilterSpec, Sample
from services.executor.domain.filtering import draws, filtered

EVENT = orjson.dumps({"type": "track", "event": "Order", "properties": {"email": "ada@example.com"}})


def chain(*actions: Drop | DropFields | Sample, condition: str = "all") -> FilterChain:
    return FilterChain([FilterSpec(name="f", actions=actions, condition=condition)])


def test_a_dropped_event_names_its_filter() -> None:
    assert filtered(chain(Drop()), EVENT, "acme/crm/m1") == (None, "f")


def test_an_event_that_no_filter_concerns_is_handed_on_as_it_is() -> None:
    event, dropped_by = filtered(chain(Drop(), condition="event = 'Other'"), EVENT, "acme/crm/m1")
    assert event is EVENT
    assert dropped_by == ""


def test_a_changed_event_is_another_one() -> None:
    event, _ = filtered(chain(DropFields(("properties.email",))), EVENT, "acme/crm/m1")
    assert event is not None
    assert orjson.loads(event)["properties"] == {}


def test_what_a_sample_kept_it_keeps_on_every_attempt() -> None:
    half = chain(Sample(0.5))
    ids = [f"acme/crm/m{number}" for number in range(200)]
    kept = [filtered(half, EVENT, one)[0] is not None for one in ids]
    assert kept == [filtered(half, EVENT, one)[0] is not None for one in ids]
    assert 60 < sum(kept) < 140


def test_draws_differ_by_delivery_and_by_turn() -> None:
    first, again, other = draws("acme/crm/m1"), draws("acme/crm/m1"), draws("acme/erp/m1")
    numbers = [first() for _ in range(100)]
    assert numbers == [again() for _ in range(100)]
    assert all(0 <= number < 1 for number in numbers)
    assert len({*numbers, other()}) == 101
