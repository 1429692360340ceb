"""Facts, limits and envelopes, without a store."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
import structlog
from google.protobuf import struct_pb2
from google.protobuf.struct_pb2 import Struct
from google.protobuf.wrappers_pb2 import BytesValue

from kit.bus.message import parse_headers
from kit.errors import LimitReached
from kit.eventstore import envelope
from kit.eventstore.facts import (
    FACT_BYTES_MAX,
    Fact,
    Meta,
    NewFact,
    UnknownFactError,
    fact_types,
    serialize,
    serialize_meta,
)
from kit.eventstore.store import STREAM_FACTS_MAX, STREAM_FACTS_WARN, next_versions
from onward.common.v1 import facts_pb2

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
META = Meta("token:a", "r1", "c1", "k1", "00-abc-def-01", AT, {"address": "h"})
FACT = Fact("acme", 7, "functions/a", 2, "Struct", b'{"a":"\xc3\xbc"}', "018f", META, AT)


def test_a_fact_of_an_unknown_type_says_where_it_is() -> None:
    with pytest.raises(UnknownFactError, match="Struct at acme/7"):
        FACT.decode({})


def test_a_fact_with_fields_of_a_newer_release_still_decodes() -> None:
    """C5."""
    newer = Fact("acme", 1, "a", 1, "StoredFact", b'{"service":"registry","addedLater":[1]}', "018f", META, AT)
    assert newer.decode(fact_types(facts_pb2)) == facts_pb2.StoredFact(service="registry")


def test_fact_types_lists_a_modules_messages() -> None:
    assert fact_types(struct_pb2)["Struct"] is Struct


def test_the_largest_fact_is_taken_and_one_more_byte_is_not() -> None:
    overhead = len(serialize(Struct(fields={"a": struct_pb2.Value(string_value="")})))
    largest = Struct(fields={"a": struct_pb2.Value(string_value="x" * (FACT_BYTES_MAX - overhead))})
    assert len(serialize(largest)) == FACT_BYTES_MAX
    largest.fields["a"].string_value += "x"
    with pytest.raises(LimitReached):
        serialize(largest)


def test_data_is_compact_and_named_as_in_proto_json() -> None:
    assert serialize(facts_pb2.StoredFact(fact_id="x")) == b'{"factId":"x"}'
    assert serialize(BytesValue(value=b"\xff")) == b'"/w=="'


def test_a_stream_warns_at_10240_facts() -> None:
    """C8."""
    with structlog.testing.capture_logs() as logs:
        next_versions("acme", [NewFact("a", Struct())] * 3, {"a": STREAM_FACTS_WARN - 2}, None)
    assert [(line["event"], line["facts"]) for line in logs] == [("stream_long", 10_240)]


def test_a_stream_takes_51200_facts_and_no_more() -> None:
    """C8."""
    assert next_versions("acme", [NewFact("a", Struct())], {"a": STREAM_FACTS_MAX - 1}, None) == [51_200]
    with pytest.raises(LimitReached) as caught:
        next_versions("acme", [NewFact("a", Struct())], {"a": STREAM_FACTS_MAX}, None)
    assert caught.value.metadata["limit"] == "stream_facts"


def test_a_fact_survives_its_way_over_the_bus() -> None:
    message = envelope.to_message("registry", FACT)
    block = "".join(f"{name}: {value}\r\n" for name, value in (message.headers or {}).items())
    headers = parse_headers(f"NATS/1.0\r\n{block}\r\n".encode("ascii"))
    assert envelope.from_message(message.data, headers) == ("registry", FACT)


def test_what_is_no_ascii_survives_its_way_over_the_bus() -> None:
    fact = replace(FACT, stream="functions/ü", meta=replace(META, request_id="ü"))
    message = envelope.to_message("registry", fact)
    assert all(value.isascii() for value in (message.headers or {}).values())
    assert envelope.from_message(message.data, message.headers) == ("registry", fact)
    assert serialize_meta(fact.meta).isascii()


def test_a_published_fact_carries_the_stored_bytes_its_id_and_its_trace() -> None:
    message = envelope.to_message("registry", FACT)
    assert (message.subject, message.data, message.msg_id) == ("facts.registry.acme.Struct", FACT.data, "018f")
    assert (message.headers or {})["traceparent"] == "00-abc-def-01"


@pytest.mark.parametrize("headers", [None, {}, {"Onward-Fact": "{"}, {"Onward-Fact": "[]"}, {"Onward-Fact": "{}"}])
def test_a_message_that_no_relay_made_is_told_apart(headers: dict[str, str] | None) -> None:
    with pytest.raises(envelope.MalformedFactError):
        envelope.from_message(b"{}", headers)


def test_a_fact_survives_read_facts() -> None:
    stored = facts_pb2.StoredFact.FromString(envelope.to_stored("registry", FACT).SerializeToString())
    assert envelope.from_stored(stored) == ("registry", FACT)


def test_a_fact_with_little_to_say_survives_read_facts() -> None:
    fact = replace(FACT, meta=Meta("operator"))
    assert envelope.from_stored(envelope.to_stored("registry", fact)) == ("registry", fact)
