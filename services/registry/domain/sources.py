"""Decisions on sources and their write keys."""

from __future__ import annotations

from kit.errors import LimitReached
from kit.eventstore.facts import NewFact
from onward.registry.v1 import facts_pb2, source_service_pb2
from services.registry.domain import ids
from services.registry.domain.state import SourceState, State
from services.registry.errors import InUse, Missing, WorkspaceLimitReached

# A source costs a subject and a few rows; lists of more help nobody.
SOURCES_MAX = 1000
# The old one and the new one, while publishers are being changed over.
WRITE_KEYS_MAX = 2


def source_name(workspace: str, source: str) -> str:
    return f"workspaces/{workspace}/sources/{source}"


def require_source(state: State, workspace: str, source: str) -> SourceState:
    """The source; raises Missing."""
    try:
        return state.sources[source]
    except KeyError:
        raise Missing(source_name(workspace, source)) from None


def decide_create_source(
    state: State, request: source_service_pb2.CreateSourceRequest, workspace: str
) -> list[NewFact]:
    """A source, with the id asked for or one made from its name."""
    source = ids.new_id(state, workspace, "sources", request.source_id, request.display_name)
    if len(state.sources) >= SOURCES_MAX:
        raise WorkspaceLimitReached("sources", SOURCES_MAX, "Use one that exists.")
    created = facts_pb2.SourceCreated(source=source, display_name=request.display_name, labels=request.labels)
    return [NewFact(_stream(source), created)]


def decide_update_source(
    state: State, request: source_service_pb2.UpdateSourceRequest, workspace: str, source_id: str
) -> list[NewFact]:
    """What differs; nothing where nothing does."""
    source = _current(state, workspace, source_id, request.etag)
    updated = facts_pb2.SourceUpdated(source=source.id)
    if request.HasField("display_name") and request.display_name != source.display_name:
        updated.display_name = request.display_name
    if request.HasField("labels") and dict(request.labels.labels) != dict(source.labels):
        updated.labels.CopyFrom(request.labels)
    changed = updated.HasField("display_name") or updated.HasField("labels")
    return [NewFact(_stream(source.id), updated)] if changed else []


def decide_delete_source(
    state: State, request: source_service_pb2.DeleteSourceRequest, workspace: str, source_id: str
) -> list[NewFact]:
    """The source's end, with its keys. Raises InUse while destinations are connected."""
    source = _current(state, workspace, source_id, request.etag)
    connected = sorted(one.id for one in state.destinations.values() if one.source == source.id)
    if connected:
        raise InUse(source_name(workspace, source.id), connected, "Disconnect them first.")
    revoked = [facts_pb2.WriteKeyRevoked(source=source.id, key=key) for key in source.write_keys]
    deleted = facts_pb2.SourceDeleted(source=source.id)
    return [NewFact(_stream(source.id), fact) for fact in (*revoked, deleted)]


def decide_create_write_key(state: State, workspace: str, source_id: str, key: str) -> list[NewFact]:
    """One more key; the third is refused."""
    source = require_source(state, workspace, source_id)
    if len(source.write_keys) >= WRITE_KEYS_MAX:
        raise LimitReached(
            f"{source_name(workspace, source.id)} has {WRITE_KEYS_MAX} write keys, as many as it may. "
            "Revoke the one that publishers no longer use.",
            metadata={"limit": "write_keys_max", "max": str(WRITE_KEYS_MAX)},
        )
    return [NewFact(_stream(source.id), facts_pb2.WriteKeyCreated(source=source.id, key=key))]


def decide_revoke_write_key(state: State, workspace: str, source_id: str, key: str) -> list[NewFact]:
    """The key's end; raises Missing."""
    source = require_source(state, workspace, source_id)
    if key not in source.write_keys:
        raise Missing(f"{source_name(workspace, source.id)}/writeKeys/{key}")
    return [NewFact(_stream(source.id), facts_pb2.WriteKeyRevoked(source=source.id, key=key))]


def _current(state: State, workspace: str, source_id: str, etag: str) -> SourceState:
    source = require_source(state, workspace, source_id)
    ids.require_etag(source_name(workspace, source.id), etag, ids.function_etag(source.revision))
    return source


def _stream(source: str) -> str:
    return f"sources/{source}"
