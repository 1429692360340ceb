"""Which values count for a required setting."""

from __future__ import annotations

import pytest

from onward.registry.v1 import resources_pb2 as pb
from tests.unit.test_registry_domain import (
    DISABLED,
    ENABLED,
    FUNCTION,
    SOURCE,
    WORKSPACE,
    changed,
    connected,
    definition,
    deploy,
    disable,
    enable,
    given,
    plain,
    sealed,
    set_settings,
    text,
    version,
)

NEEDED, SEALED = definition("key", required=True), definition("key", required=True, encrypted=True)


def test_an_empty_string_is_no_value_of_a_required_setting() -> None:
    story = (WORKSPACE, SOURCE, FUNCTION, version(1, NEEDED), connected())
    given(*story, changed(plain("key", ""))).when(enable()).refused("FAILED_PRECONDITION", "SETTINGS_MISSING")
    emptied = set_settings(set={"key": text("")})
    given(*story, changed(plain("key", "v")), ENABLED).when(emptied).refused("FAILED_PRECONDITION", "SETTINGS_MISSING")


def test_an_empty_string_is_a_value_of_a_setting_that_is_not_required() -> None:
    given(
        *(WORKSPACE, SOURCE, FUNCTION, version(1, definition("key")), connected(), changed(plain("key", ""))),
    ).when(enable()).then(ENABLED)


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (pb.SETTING_TYPE_STRING_LIST, pb.SettingValue(list_value=pb.StringList())),
        (pb.SETTING_TYPE_STRING_MAP, pb.SettingValue(map_value=pb.StringMap())),
        (pb.SETTING_TYPE_BOOLEAN, pb.SettingValue(bool_value=False)),
    ],
)
def test_a_list_or_map_of_nothing_and_false_are_values(type_: pb.SettingType.ValueType, value: pb.SettingValue) -> None:
    needed = definition("key", type=type_, required=True)
    story = given(WORKSPACE, SOURCE, FUNCTION, version(1, needed), connected())
    (fact,) = story.when(set_settings(set={"key": value})).decided()
    given(WORKSPACE, SOURCE, FUNCTION, version(1, needed), connected(), fact).when(enable()).then(ENABLED)


def test_an_empty_string_is_refused_for_a_required_setting_that_is_encrypted() -> None:
    """Later nobody could tell that it is empty."""
    story = (WORKSPACE, SOURCE, FUNCTION, version(1, SEALED), connected())
    emptied = set_settings(set={"key": text("")})
    error = given(*story).when(emptied).refused("INVALID_ARGUMENT", "INVALID_SETTING")
    assert "must not be empty" in error.message
    given(*story).when(set_settings(set={"key": text("v")})).then(changed(sealed("key")))


def test_what_runs_with_an_empty_string_since_an_older_release_can_be_disabled_and_set_right() -> None:
    story = (
        *(WORKSPACE, SOURCE, FUNCTION, version(1, NEEDED), version(2, SEALED)),
        *(connected(), changed(plain("key", "")), ENABLED),
    )
    given(*story).when(disable()).then(DISABLED)
    given(*story).when(set_settings(set={"key": text("v")})).then(changed(plain("key", "v"), revision=2))
    given(*story).when(deploy(2)).refused("FAILED_PRECONDITION", "SETTINGS_MISSING")
