"""Setting values and definitions as people write them."""

from __future__ import annotations

import pytest

from cli.commands.destinations import setting_text
from cli.failures import UsageError
from cli.setting_values import parse_assignments, parse_definitions, shown
from onward.registry.v1.resources_pb2 import SettingState, SettingType, SettingValue


@pytest.mark.parametrize(
    ("text", "kind", "printed"),
    [
        ("endpoint=https://x.example/?a=b", "string_value", "https://x.example/?a=b"),
        ("endpoint=", "string_value", ""),
        ("events:=[]", "list_value", "[]"),
        ('events:=["a", "b"]', "list_value", '["a", "b"]'),
        ("on:=true", "bool_value", "true"),
        ('headers:={"b": "2", "a": "1"}', "map_value", '{"a": "1", "b": "2"}'),
        ('name:="text"', "string_value", "text"),
    ],
)
def test_an_assignment_gives_a_value_of_the_type_that_it_is_written_as(text: str, kind: str, printed: str) -> None:
    (value,) = parse_assignments([text]).values()
    assert value.WhichOneof("value") == kind
    assert shown(value) == printed


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("endpoint", "name=text, name=@file or name:=json"),
        ("=x", "name=text"),
        (":=true", "name=text"),
        ("events:=[1]", "array of strings"),
        ("n:=5", "array of strings"),
        ("n:=null", "array of strings"),
        ("n:=oops", "is not JSON"),
        ("key=@/does/not/exist", "can't be read"),
    ],
)
def test_what_is_no_assignment_is_refused_with_what_to_write(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        parse_assignments([text])


def test_a_setting_that_is_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="given twice"):
        parse_assignments(["a=1", "a:=true"])


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (SettingState(), "not set"),
        (SettingState(set=True, value=SettingValue(string_value="")), '""'),
        (SettingState(set=True, value=SettingValue(string_value="x")), "x"),
        (SettingState(set=True, value=SettingValue(bool_value=False)), "false"),
        (SettingState(set=True), "set, hidden"),
        (SettingState(set=True, encrypted=True), "set, encrypted"),
    ],
)
def test_an_empty_value_differs_from_one_that_may_not_be_seen(state: SettingState, told: str) -> None:
    assert setting_text(state) == told


def test_definitions_take_short_types_and_default_to_an_optional_string() -> None:
    plain, full = parse_definitions(
        '[{"name": "endpoint"}, {"name": "events", "type": "list", "label": "Events", "required": true}]', "d.json"
    )
    assert (plain.label, plain.type, plain.required) == ("endpoint", SettingType.SETTING_TYPE_STRING, False)
    assert (full.label, full.type, full.required) == ("Events", SettingType.SETTING_TYPE_STRING_LIST, True)


def test_definitions_as_proto_json_are_read_too() -> None:
    (one,) = parse_definitions('[{"name": "h", "type": "SETTING_TYPE_STRING_MAP", "encrypted": true}]', "d.json")
    assert one.type == SettingType.SETTING_TYPE_STRING_MAP
    assert one.encrypted


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "d.json is not JSON"),
        ("{}", "must be a JSON array"),
        ("[1]", 'definition 1 must be an object with a "name"'),
        ('[{"name": "a"}, {"name": "b", "typ": "list"}]', "definition 2 has an unknown field 'typ'"),
        ('[{"name": "a", "type": "number"}]', "string, boolean, list, map"),
    ],
)
def test_wrong_definitions_are_refused_with_their_place(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        parse_definitions(text, "d.json")
