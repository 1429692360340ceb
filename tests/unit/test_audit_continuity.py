"""What can be the continuation of a log."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from kit.eventstore.envelope import OwnedFact
from kit.eventstore.facts import Fact, Meta
from services.audit.domain.continuity import fault_in


def fact(position: int, stream: str = "", version: int = 1) -> Fact:
    fact_id = f"00000000-0000-7000-8000-{position:012d}"
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    name = stream or f"sources/s{position}"
    return Fact("acme", position, name, version, "SourceCreated", b"{}", fact_id, Meta("member:ada"), moment)


def fault(*facts: Fact, service: str = "registry", first: int = 4) -> str:
    return fault_in("registry", "acme", first, [OwnedFact(service, one) for one in facts])


def test_facts_that_follow_one_another_are_believed() -> None:
    assert fault() == ""
    assert fault(fact(4), fact(5, "a", 7), fact(6, "a", 8), fact(7, "b", 1)) == ""


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ([fact(5)], "registry/acme/5 is in the place of registry/acme/4"),
        ([fact(4), fact(6)], "registry/acme/6 is in the place of registry/acme/5"),
        ([fact(4), fact(4)], "registry/acme/4 is in the place of registry/acme/5"),
        ([replace(fact(4), workspace="other")], "registry/other/4 is in the place of registry/acme/4"),
        ([fact(4, "a", 2), fact(5, "a", 4)], "a goes on with version 4 after 2 at 5"),
        ([fact(4, "a", 2), fact(5, "a", 2)], "a goes on with version 2 after 2 at 5"),
        ([fact(4, "a", 0)], "a fact without a stream, a type or a version is at 4"),
        ([replace(fact(4), fact_id="?")], "an id that is none ('?') is at 4"),
        ([fact(4), replace(fact(5), fact_id=fact(4).fact_id)], "the id of another fact is at 5"),
    ],
)
def test_what_does_not_follow_is_told(facts: list[Fact], told: str) -> None:
    assert fault(*facts) == told


def test_facts_of_another_service_are_none_of_this_log() -> None:
    assert fault(fact(4), service="delivery") == "delivery/acme/4 is in the place of registry/acme/4"
