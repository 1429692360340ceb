"""Where a value was set, as the facts of a log tell it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.message import Message

from onward.registry.v1 import facts_pb2 as f
from onward.registry.v1 import resources_pb2 as r
from onward.registry.v1.workspace_service_pb2 import FindSecretResponse
from services.registry.domain.lookups import USES_MAX, Search, require_sought
from services.registry.domain.settings import SETTINGS_BYTES_MAX
from services.registry.errors import InvalidField

BEGAN = datetime(2026, 1, 2, tzinfo=UTC)
PLAIN = f.SettingChange(name="apiKey", value=r.SettingValue(string_value="v"))


def hash_there(destination: str, setting: str) -> str:
    return f"{destination}/{setting} sought"


def sought(destination: str, setting: str = "apiKey") -> f.SettingsChanged:
    """The value that is looked for is set."""
    change = f.SettingChange(name=setting, keyed_hash=hash_there(destination, setting))
    return f.SettingsChanged(destination=destination, changes=[change])


def changed(destination: str, *changes: f.SettingChange) -> f.SettingsChanged:
    return f.SettingsChanged(destination=destination, changes=changes)


def found(facts: Sequence[Message]) -> FindSecretResponse:
    """What is found in a log of these facts."""
    search = Search("acme", hash_there)
    for position, fact in enumerate(facts, 1):
        search.add(position, BEGAN + timedelta(seconds=position), fact)
    return search.response()


def shown(facts: Sequence[Message]) -> list[tuple[int, bool]]:
    return [(one.position, one.current) for one in found(facts).uses]


def test_a_use_tells_where_when_and_by_which_fact() -> None:
    (use,) = found([changed("eu", PLAIN), sought("eu", "token")]).uses
    assert (use.destination, use.setting) == ("workspaces/acme/destinations/eu", "token")
    assert (use.position, use.current) == (2, True)
    assert use.set_time.ToDatetime(UTC) == BEGAN + timedelta(seconds=2)


@pytest.mark.parametrize(
    "end",
    [
        changed("eu", f.SettingChange(name="apiKey", cleared=True)),
        changed("eu", f.SettingChange(name="apiKey", keyed_hash="of another")),
        changed("eu", PLAIN),
        f.DestinationDisconnected(destination="eu"),
    ],
)
def test_what_ends_a_value_leaves_it_in_history(end: Message) -> None:
    assert shown([sought("eu"), end]) == [(1, False)]


@pytest.mark.parametrize(
    "other",
    [
        changed("eu", f.SettingChange(name="token", keyed_hash="of another")),
        changed("us", f.SettingChange(name="apiKey", cleared=True)),
        f.DestinationDisconnected(destination="us"),
    ],
)
def test_what_happens_elsewhere_ends_nothing(other: Message) -> None:
    assert shown([sought("eu"), other]) == [(1, True)]


def test_a_value_that_is_set_again_is_current_once() -> None:
    assert shown([sought("eu"), sought("eu")]) == [(2, True), (1, False)]


def test_the_same_hash_at_another_place_is_another_value() -> None:
    copied = f.SettingChange(name="apiKey", keyed_hash=hash_there("us", "apiKey"))
    assert shown([changed("eu", copied)]) == []


def test_all_are_counted_and_the_latest_are_shown() -> None:
    answer = found([sought("eu")] * (USES_MAX + 5))
    assert answer.found == USES_MAX + 5
    assert [one.position for one in answer.uses] == list(range(USES_MAX + 5, 5, -1))


def test_what_is_current_is_shown_before_what_ended_later() -> None:
    answer = found([sought("us"), *[sought("eu")] * (USES_MAX + 5)])
    assert len(answer.uses) == USES_MAX
    assert [one.position for one in answer.uses if one.current] == [USES_MAX + 6, 1]


def test_more_current_ones_than_can_be_shown_are_counted() -> None:
    answer = found([sought(f"d{number}") for number in range(USES_MAX + 5)])
    assert (answer.found, len(answer.uses), answer.uses[0].position) == (USES_MAX + 5, USES_MAX, USES_MAX + 5)


def test_a_hash_is_computed_once_for_each_place() -> None:
    asked: list[tuple[str, str]] = []

    def noted(destination: str, setting: str) -> str:
        asked.append((destination, setting))
        return hash_there(destination, setting)

    search = Search("acme", noted)
    for position, destination in enumerate(["eu", "us", "eu", "us"], 1):
        search.add(position, BEGAN, sought(destination))
    assert asked == [("eu", "apiKey"), ("us", "apiKey")]


def test_a_value_that_a_deployment_could_have_encrypted_can_be_looked_for() -> None:
    longest = r.SettingValue(list_value=r.StringList(values=["x" * 4000] * 60))
    assert longest.ByteSize() < SETTINGS_BYTES_MAX
    require_sought(longest)
    with pytest.raises(InvalidField, match="takes more than"):
        require_sought(r.SettingValue(list_value=r.StringList(values=["x" * 4000] * 70)))


def test_true_and_false_are_not_looked_for() -> None:
    """It would tell what each encrypted one is."""
    for value in (True, False):
        with pytest.raises(InvalidField, match="must be a string"):
            require_sought(r.SettingValue(bool_value=value))
