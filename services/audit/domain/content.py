"""A fact as the trail reads it: its fields as proto-JSON, and what it was done to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson
import structlog
from google.protobuf import json_format

from kit.eventstore.facts import Fact, UnknownFactError, fact_types
from onward.delivery.v1 import facts_pb2 as delivery_facts
from onward.registry.v1 import facts_pb2

log = structlog.get_logger(__name__)

FACT_TYPES = {**fact_types(facts_pb2), **fact_types(delivery_facts)}
# Facts that tell of a refusal.
DENIALS = frozenset({"AccessDenied"})
# Facts that tell of something that was done with their target and left it as it was, in streams of their own.
USES = frozenset(
    {
        "DestinationInvoked",
        "SecretSought",
        "DeliveryRetried",
        "DeliveryCancelled",
        "BreakerOpened",
        "BreakerClosed",
        "BreakerReset",
        "DestinationBecameUnhealthy",
        "DestinationBecameHealthy",
        "AlertRaised",
        "AlertUndelivered",
        "ReplayCreated",
        "ReplayCancelled",
        "ReplayFinished",
    }
)
# Of these, those that are done with a subscription and not with a destination.
ALERTS = frozenset({"AlertRaised", "AlertUndelivered"})
# And those that are done with the workspace.
LOOKUPS = frozenset({"SecretSought"})


@dataclass(frozen=True, slots=True)
class Content:
    """A fact's fields as proto-JSON. `defaults` are those that have their zero value and are thus not in the JSON."""

    fact: Fact
    fields: Mapping[str, Any]
    defaults: Mapping[str, Any]

    @property
    def target(self) -> tuple[str, str]:
        """The type and the id of what it was done to; of a refusal, of what was asked for."""
        if self.fact.type in DENIALS:
            return self._asked_for(str(self.fields.get("resource", "")))
        if self.fact.type in ALERTS:
            return ("subscriptions", str(self.fields.get("subscription", "")))
        if self.fact.type in LOOKUPS:
            return ("workspaces", self.fact.workspace)
        if self.fact.type in USES:
            return ("destinations", str(self.fields.get("destination", "")))
        if self.fact.type == "KeysRotated":
            return ("keys", str(self.fields.get("keyId", "")))
        kind, _, entity = self.fact.stream.partition("/")
        # The workspace's own stream has no id in it.
        return (kind, entity) if entity else (f"{kind}s", self.fact.workspace)

    @property
    def streams(self) -> list[str]:
        """All whose states tell what it means: the target's first."""
        if self.fact.type in DENIALS | USES:
            kind, entity = self.target
            return ["workspace" if kind == "workspaces" else f"{kind}/{entity}"]
        others = self.fields.get("destinations", ()) if self.fact.type == "VersionDeployed" else ()
        return [self.fact.stream, *(f"destinations/{one}" for one in others)]

    def _asked_for(self, resource: str) -> tuple[str, str]:
        match resource.split("/"):
            case ["workspaces", workspace, kind, entity, *_] if workspace == self.fact.workspace and kind and entity:
                return (kind, entity)
            case ["workspaces", workspace, *_] if workspace:
                return ("workspaces", workspace)
        return ("workspaces", self.fact.workspace)


def read(fact: Fact) -> Content:
    """Read a fact. One that can't be read has no fields: the trail records it nevertheless."""
    try:
        message = fact.decode(FACT_TYPES)
    except (UnknownFactError, json_format.ParseError):
        return Content(fact, _raw_fields(fact), {})
    fields = json_format.MessageToDict(message)
    zeros = _zeros(fact.type)
    return Content(fact, fields, {name: zero for name, zero in zeros.items() if name not in fields})


@cache
def _zeros(fact_type: str) -> Mapping[str, Any]:
    """The zero values of a type's fields."""
    return json_format.MessageToDict(FACT_TYPES[fact_type](), always_print_fields_with_no_presence=True)


def _raw_fields(fact: Fact) -> Mapping[str, Any]:
    try:
        fields = orjson.loads(fact.data)
    except orjson.JSONDecodeError:
        fields = None
    if isinstance(fields, dict):
        return fields
    log.error("fact_unreadable", workspace=fact.workspace, position=fact.position, type=fact.type)
    return {}
