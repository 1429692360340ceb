"""What the trail tells of a fact: what it was done to, and what it changed.

Facts are read as proto-JSON and most types are treated alike: their fields are the target's fields. A type that a
newer release of the owner adds is thereby recorded with its changes before this service knows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onward.audit.v1 import audit_service_pb2 as pb
from services.audit.domain.content import DENIALS, USES, Content
from services.audit.domain.fields import Change, Fields, State, bounded, differences, flattened
from services.audit.domain.rules import deployed, state_after, state_before


@dataclass(frozen=True, slots=True)
class Description:
    """What the trail tells of a fact, and the states (by stream) that it leaves behind."""

    target_type: str
    target_id: str
    target_display_name: str
    outcome: pb.Outcome.ValueType
    changes: tuple[Change, ...]
    states: Mapping[str, State]


def describe(content: Content, states: Mapping[str, State]) -> Description:
    """What the fact did, given the states of `content.streams` before it; unknown ones may be missing."""
    if content.fact.type in DENIALS:
        return _without_change(content, states, pb.OUTCOME_DENIED)
    if content.fact.type in USES:
        return _without_change(content, states, pb.OUTCOME_SUCCEEDED)
    stream, *others = content.streams
    before = state_before(content, states.get(stream, {}))
    own = state_after(content, before)
    after = {other: deployed(content, states.get(other, {})) for other in others}
    changes = differences(before, own)
    for other, state in after.items():
        changes += differences(states.get(other, {}), state, other.replace("/", ".") + ".")
    target_type, target_id = content.target
    return Description(
        target_type=target_type,
        target_id=target_id,
        # What is gone is told by the name that it had.
        target_display_name=str(own.get("displayName") or before.get("displayName", "")),
        outcome=pb.OUTCOME_SUCCEEDED,
        changes=bounded(changes),
        states={stream: own, **after},
    )


def trace_id(traceparent: str) -> str:
    """The trace's id in a W3C traceparent; "" where there is none."""
    parts = traceparent.split("-")
    return parts[1] if len(parts) == 4 else ""


def _without_change(content: Content, states: Mapping[str, State], outcome: pb.Outcome.ValueType) -> Description:
    """Nothing changed: its fields say what was asked for and why it was refused, or what was done with the target."""
    told: Fields = {}
    for name, value in content.fields.items():
        told |= flattened(name, int(value) if name == "count" and str(value).isdecimal() else value)
    target_type, target_id = content.target
    # The target's own id says nothing that the target does not.
    told = {name: value for name, value in told.items() if (name, value) != (target_type.removesuffix("s"), target_id)}
    return Description(
        target_type=target_type,
        target_id=target_id,
        target_display_name=str(states.get(content.streams[0], {}).get("displayName", "")),
        outcome=outcome,
        changes=bounded(differences({}, told)),
        states={},
    )
