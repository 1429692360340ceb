"""The quick way of reading facts' JSON reads what json_format reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message

from kit.eventstore.decoding import decode, decode_value
from kit.eventstore.facts import fact_types
from onward.registry.v1 import facts_pb2

GOLDEN = sorted((Path(__file__).parents[1] / "golden" / "registry").glob("*.json"))
TYPES = fact_types(facts_pb2)

ODD = {
    "a field of a newer release": ("FunctionDeleted", b'{"function":"crm","farewell":{"words":["so","long"]}}'),
    "a nested one": ("TokenCreated", b'{"token":"a","grants":[{"role":"ROLE_OWNER","mood":"grave"}]}'),
    "an enum value of a newer release": ("RoleGranted", b'{"member":"a","grant":{"role":"ROLE_EMPEROR"}}'),
    "names as the proto has them": ("LimitsSet", b'{"functions_max":7}'),
    "null": ("LimitsSet", b'{"functionsMax":null}'),
    "a number as text": ("LimitsSet", b'{"functionsMax":"7"}'),
    "an enum by its number": ("MemberAdded", b'{"member":"a","kind":1}'),
    "text outside the first plane": ("LimitsSet", '{"\U0001f980":"\\ud83e\\udd80"}'.encode()),
    "nothing": ("LimitsSet", b"{}"),
}


def by_json_format(data: bytes, kind: type[Message]) -> Message:
    message = kind()
    json_format.Parse(data, message, ignore_unknown_fields=True)
    return message


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_stored_facts_are_read_without_json_format(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C5"""
    kind = TYPES[path.stem.partition("-")[0]]
    expected = by_json_format(path.read_bytes(), kind)
    monkeypatch.setattr(json_format, "Parse", None)
    assert decode(path.read_bytes(), kind) == expected


@pytest.mark.parametrize("name", ODD)
def test_what_serialize_would_not_write_is_read_as_json_format_reads_it(name: str) -> None:
    kind, data = ODD[name]
    assert decode(data, TYPES[kind]) == by_json_format(data, TYPES[kind])
    assert decode_value(json.loads(data), TYPES[kind]) == by_json_format(data, TYPES[kind])


@pytest.mark.parametrize("data", [b"", b"{", b'{"functionsMax":"many"}', b'{"functionsMax":1.5}'])
def test_what_is_no_fact_is_refused(data: bytes) -> None:
    with pytest.raises(json_format.ParseError):
        decode(data, facts_pb2.LimitsSet)
