"""Room in an entity's stream for taking away what it has: who may add must not be able to stop that.

The event log ends a stream. Without room, whoever may change a source could change it so often that nobody could revoke
its keys any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from google.protobuf.message import Message

from kit.errors import LimitReached
from kit.eventstore.facts import NewFact
from onward.registry.v1 import facts_pb2
from services.registry.domain.state import State

# The event log ends a stream at 51,200 facts. What is left above this many is only for taking away. The most that there
# is to take away has a destination: 200 stored values and 30 filters one by one, and the destination itself.
ENTITY_FACTS_MAX = 50_000

# What these take away has to be given again before they can come again, so the room that is kept is enough for them; or
# they are the operator's, whom nobody in a workspace may stop.
_ALWAYS: frozenset[type[Message]] = frozenset(
    {
        facts_pb2.LimitsSet,
        facts_pb2.EgressRangeDisallowed,
        facts_pb2.MemberRemoved,
        facts_pb2.PersonErased,
        facts_pb2.RoleRevoked,
        facts_pb2.TokenRevoked,
        facts_pb2.FunctionDeleted,
        facts_pb2.SourceDeleted,
        facts_pb2.WriteKeyRevoked,
        facts_pb2.DestinationDisabled,
        facts_pb2.DestinationDisconnected,
        facts_pb2.FilterDeleted,
    }
)

_ADVICE: Mapping[str, str] = MappingProxyType(
    {
        "functions": "Create a new function from its code, connect that, and delete this one.",
        "sources": "Create a new source, have events published to that, and delete this one.",
        "destinations": "Connect a new destination, and disconnect this one.",
        "members": "Add the member again with another id, and remove this one.",
        "workspace": "Ask the operator for a new workspace.",
    }
)


def require_room(state: State, workspace: str, facts: Sequence[NewFact]) -> None:
    """Raises LimitReached where an entity that was changed as often as one may be would be given more."""
    for fact in facts:
        if state.stream_version(fact.stream) >= ENTITY_FACTS_MAX and not _takes_away(fact.data):
            raise _full(workspace, fact.stream)


def _takes_away(fact: Message) -> bool:
    if isinstance(fact, facts_pb2.SettingsChanged):
        return all(change.cleared for change in fact.changes)
    if isinstance(fact, facts_pb2.WorkspaceUpdated):
        # The policy that lets members edit functions, withdrawn.
        return fact == facts_pb2.WorkspaceUpdated(members_may_edit_functions=False)
    return type(fact) in _ALWAYS


def _full(workspace: str, stream: str) -> LimitReached:
    name = f"workspaces/{workspace}" if stream == "workspace" else f"workspaces/{workspace}/{stream}"
    advice = _ADVICE.get(stream.partition("/")[0], "Create a new one.")
    return LimitReached(
        f"{name} was changed {ENTITY_FACTS_MAX} times: what it has can be taken away, and no more be added. {advice}",
        metadata={"limit": "entity_facts", "max": str(ENTITY_FACTS_MAX), "resource": name},
    )
