"""Facts: how callers hand them over, how they are stored, and how they come back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

import orjson
from google.protobuf import json_format
from google.protobuf.message import Message

from kit.clock import Clock
from kit.errors import LimitReached
from kit.eventstore.decoding import decode

# The message class of each fact type, by its short name.
FactTypes: TypeAlias = Mapping[str, type[Message]]

# The workspace of facts that belong to none.
SYSTEM_WORKSPACE = "system"
# A fact is published as one message, headers included, and the bus takes 1,000,000 bytes at most.
FACT_BYTES_MAX = 960_000
# Travels as a header of the published fact.
META_BYTES_MAX = 8 * 1024


def day_stream(kind: str, clock: Clock) -> str:
    """Today's stream, by UTC, for facts that may come for years: the stream of one entity would fill up."""
    return f"{kind}/{clock.now():%Y-%m-%d}"


@dataclass(frozen=True, slots=True)
class Meta:
    """Who and what caused facts; the same for all facts of one append.

    `occurred_at` None means now, by the store's clock. `commitments` holds salted hashes of what may be
    erased (client address, user agent), never the values.
    """

    principal: str
    request_id: str = ""
    causation: str = ""
    correlation: str = ""
    traceparent: str = ""
    occurred_at: datetime | None = None
    commitments: Mapping[str, str] = field(default_factory=dict)
    # What the principal proved itself with, such as "token:5f0c".
    credential: str = ""

    def at(self, now: datetime) -> "Meta":
        """The same with `occurred_at` filled in where it is absent."""
        return self if self.occurred_at is not None else replace(self, occurred_at=now)

    def to_json(self) -> dict[str, Any]:
        """What is stored and published; empty fields are left out."""
        values = {
            "principal": self.principal,
            "credential": self.credential,
            "request_id": self.request_id,
            "causation": self.causation,
            "correlation": self.correlation,
            "traceparent": self.traceparent,
            "occurred_at": self.occurred_at.isoformat() if self.occurred_at else "",
            "commitments": dict(self.commitments),
        }
        return {name: value for name, value in values.items() if value}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Meta":
        """The inverse of `to_json`; unknown names, of a newer release, are passed over."""
        occurred_at = values.get("occurred_at")
        return cls(
            principal=values.get("principal", ""),
            credential=values.get("credential", ""),
            request_id=values.get("request_id", ""),
            causation=values.get("causation", ""),
            correlation=values.get("correlation", ""),
            traceparent=values.get("traceparent", ""),
            occurred_at=datetime.fromisoformat(occurred_at) if occurred_at else None,
            commitments=values.get("commitments", {}),
        )


@dataclass(frozen=True, slots=True)
class NewFact:
    """A decision to record: what happened, and to which entity, such as "functions/slack-alerts"."""

    stream: str
    data: Message

    @property
    def type(self) -> str:
        """The message's short name, such as "FunctionCreated"."""
        return self.data.DESCRIPTOR.name


class FactData(NamedTuple):
    """As much of a fact as a state is made of."""

    workspace: str
    position: int
    type: str
    data: bytes

    def decode(self, types: FactTypes) -> Message:
        """The message, by `types` as `fact_types` makes them. Raises UnknownFactError for another type."""
        if self.type not in types:
            raise UnknownFactError(f"{self.type} at {self.workspace}/{self.position} is unknown to this release")
        # Fields that a newer release added must not stop an older consumer.
        return decode(self.data, types[self.type])


@dataclass(frozen=True, slots=True)
class Fact:
    """A recorded fact. `data` is proto-JSON, byte for byte as stored and published.

    `position` counts from 1 without gaps in the workspace, `version` likewise in the stream.
    """

    workspace: str
    position: int
    stream: str
    version: int
    type: str
    data: bytes
    fact_id: str
    meta: Meta
    recorded_at: datetime

    def decode(self, types: FactTypes) -> Message:
        """The message, by `types` as `fact_types` makes them. Raises UnknownFactError for another type."""
        return FactData(self.workspace, self.position, self.type, self.data).decode(types)


class UnknownFactError(LookupError):
    """A fact's type has no message in this release."""


def fact_types(*modules: ModuleType) -> dict[str, type[Message]]:
    """Message classes of generated modules, such as `onward.registry.v1.facts_pb2`, by short name."""
    types: dict[str, type[Message]] = {}
    for module in modules:
        types |= {name: getattr(module, name) for name in module.DESCRIPTOR.message_types_by_name}
    return types


def serialize(data: Message) -> bytes:
    """Compact proto-JSON, made once for storage, hash and publication. Raises LimitReached."""
    stored = orjson.dumps(json_format.MessageToDict(data))
    if len(stored) > FACT_BYTES_MAX:
        raise LimitReached(
            f"{data.DESCRIPTOR.name} takes {len(stored)} bytes; {FACT_BYTES_MAX} are allowed. Make it smaller.",
            metadata={"limit": "fact_bytes", "max": str(FACT_BYTES_MAX)},
        )
    return stored


def compact_ascii(values: Mapping[str, Any]) -> str:
    """Compact JSON that is fit for a header."""
    text = orjson.dumps(values).decode()
    return text if text.isascii() else json.dumps(values, separators=(",", ":"))


def serialize_meta(meta: Meta) -> str:
    """Compact ASCII JSON, fit for a header. Raises LimitReached above META_BYTES_MAX."""
    stored = compact_ascii(meta.to_json())
    if len(stored) > META_BYTES_MAX:
        raise LimitReached(
            f"The request's ids and trace take {len(stored)} bytes; {META_BYTES_MAX} are allowed.",
            metadata={"limit": "meta_bytes", "max": str(META_BYTES_MAX)},
        )
    return stored
