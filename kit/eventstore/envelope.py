"""A fact on its way: as a message on the bus, and as `StoredFact` in an answer of ReadFacts."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from kit.bus.publish import Outgoing
from kit.eventstore.facts import Fact, Meta, compact_ascii
from onward.common.v1.facts_pb2 import StoredFact

# Everything about the fact that is not its data, as compact JSON.
FACT_HEADER = "Onward-Fact"
TRACE_HEADER = "traceparent"


class OwnedFact(NamedTuple):
    """A fact with the service whose log it is from."""

    service: str
    fact: Fact


class MalformedFactError(ValueError):
    """A message on a facts subject that no relay made."""


def subject(service: str, fact: Fact) -> str:
    """Where a fact is published."""
    return f"facts.{service}.{fact.workspace}.{fact.type}"


def to_message(service: str, fact: Fact) -> Outgoing:
    """The message that carries a fact: its stored bytes, its id as Nats-Msg-Id, the rest as a header."""
    described = {
        "service": service,
        "workspace": fact.workspace,
        "position": fact.position,
        "stream": fact.stream,
        "version": fact.version,
        "type": fact.type,
        "fact_id": fact.fact_id,
        "recorded_at": fact.recorded_at.isoformat(),
        **fact.meta.to_json(),
    }
    headers = {FACT_HEADER: compact_ascii(described)}
    if fact.meta.traceparent:
        headers[TRACE_HEADER] = fact.meta.traceparent
    return Outgoing(subject(service, fact), fact.data, fact.fact_id, headers)


def from_message(data: bytes, headers: Mapping[str, str] | None) -> OwnedFact:
    """The inverse of `to_message`. Raises MalformedFactError."""
    try:
        described = json.loads((headers or {})[FACT_HEADER])
        fact = Fact(
            workspace=described["workspace"],
            position=described["position"],
            stream=described["stream"],
            version=described["version"],
            type=described["type"],
            data=data,
            fact_id=described["fact_id"],
            meta=Meta.from_json(described),
            recorded_at=datetime.fromisoformat(described["recorded_at"]),
        )
        return OwnedFact(described["service"], fact)
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedFactError(f"not a fact's {FACT_HEADER} header: {error}") from error


def to_stored(service: str, fact: Fact) -> StoredFact:
    """The fact as ReadFacts answers it: the same that the bus carries."""
    stored = StoredFact(
        service=service,
        workspace=fact.workspace,
        position=fact.position,
        stream=fact.stream,
        version=fact.version,
        type=fact.type,
        data=fact.data,
        fact_id=fact.fact_id,
        principal=fact.meta.principal,
        credential=fact.meta.credential,
        request_id=fact.meta.request_id,
        traceparent=fact.meta.traceparent,
        causation=fact.meta.causation,
        correlation=fact.meta.correlation,
        commitments=fact.meta.commitments,
    )
    stored.recorded_at.FromDatetime(fact.recorded_at)
    if fact.meta.occurred_at:
        stored.occurred_at.FromDatetime(fact.meta.occurred_at)
    return stored


def from_stored(stored: StoredFact) -> OwnedFact:
    """The inverse of `to_stored`."""
    meta = Meta(
        principal=stored.principal,
        credential=stored.credential,
        request_id=stored.request_id,
        causation=stored.causation,
        correlation=stored.correlation,
        traceparent=stored.traceparent,
        commitments=dict(stored.commitments),
        occurred_at=_datetime(stored.occurred_at) if stored.HasField("occurred_at") else None,
    )
    fact = Fact(
        workspace=stored.workspace,
        position=stored.position,
        stream=stored.stream,
        version=stored.version,
        type=stored.type,
        data=stored.data,
        fact_id=stored.fact_id,
        meta=meta,
        recorded_at=_datetime(stored.recorded_at),
    )
    return OwnedFact(stored.service, fact)


def _datetime(timestamp: Timestamp) -> datetime:
    return timestamp.ToDatetime(tzinfo=UTC)
