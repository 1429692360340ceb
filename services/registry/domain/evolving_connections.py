"""Facts of sources, destinations and filters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from google.protobuf.message import Message

from onward.registry.v1 import facts_pb2
from services.registry.domain.folding import end, with_entries
from services.registry.domain.state import (
    DestinationState,
    FilterState,
    SourceState,
    State,
    StoredSetting,
    type_of,
)


def _source_created(state: State, fact: facts_pb2.SourceCreated) -> State:
    source = SourceState(fact.source, revision=1, display_name=fact.display_name, labels=dict(fact.labels))
    return _with_source(state, source)


def _source_updated(state: State, fact: facts_pb2.SourceUpdated) -> State:
    source = state.sources[fact.source]
    if fact.HasField("display_name"):
        source = replace(source, display_name=fact.display_name)
    if fact.HasField("labels"):
        source = replace(source, labels=dict(fact.labels.labels))
    return _with_source(state, replace(source, revision=source.revision + 1))


def _source_deleted(state: State, fact: facts_pb2.SourceDeleted) -> State:
    return end(state, "sources", fact.source)


def _write_key_created(state: State, fact: facts_pb2.WriteKeyCreated) -> State:
    source = state.sources[fact.source]
    keys = (*source.write_keys, fact.key)
    return _with_source(state, replace(source, revision=source.revision + 1, write_keys=keys))


def _write_key_revoked(state: State, fact: facts_pb2.WriteKeyRevoked) -> State:
    source = state.sources[fact.source]
    keys = tuple(key for key in source.write_keys if key != fact.key)
    return _with_source(state, replace(source, revision=source.revision + 1, write_keys=keys))


def _destination_connected(state: State, fact: facts_pb2.DestinationConnected) -> State:
    return _with_destination(
        state,
        DestinationState(
            id=fact.destination,
            display_name=fact.display_name,
            function=fact.function,
            source=fact.source,
            version=fact.version,
            revision=1,
            labels=dict(fact.labels),
        ),
    )


def _destination_disconnected(state: State, fact: facts_pb2.DestinationDisconnected) -> State:
    return end(state, "destinations", fact.destination)


def _settings_changed(state: State, fact: facts_pb2.SettingsChanged) -> State:
    destination = state.destinations[fact.destination]
    settings = dict(destination.settings)
    for change in fact.changes:
        if change.cleared:
            settings.pop(change.name, None)
        else:
            settings[change.name] = _stored(state, destination, change)
    return _with_destination(
        state,
        replace(
            destination,
            revision=destination.revision + 1,
            settings=settings,
            settings_revision=fact.revision,
        ),
    )


def _stored(state: State, destination: DestinationState, change: facts_pb2.SettingChange) -> StoredSetting:
    if change.HasField("value"):
        return StoredSetting(type_of(change.value), change.value)
    # An encrypted value tells nothing of itself; it was checked against the version that ran at the time.
    version = state.functions[destination.function].version(destination.version)
    definition = version.definition(change.name) if version else None
    assert definition is not None, "an encrypted value has a definition"
    return StoredSetting(definition.type, None)


def _destination_enabled(state: State, fact: facts_pb2.DestinationEnabled) -> State:
    return _changed(state, fact.destination, enabled=True, held=False)


def _destination_disabled(state: State, fact: facts_pb2.DestinationDisabled) -> State:
    return _changed(state, fact.destination, enabled=False, held=fact.hold)


def _destination_invoked(state: State, _fact: facts_pb2.DestinationInvoked) -> State:
    return state


def _delivery_policy_updated(state: State, fact: facts_pb2.DeliveryPolicyUpdated) -> State:
    return _changed(state, fact.destination, policy=fact.policy)


def _filter_created(state: State, fact: facts_pb2.FilterCreated) -> State:
    filters = filters_of(state, fact.parent)
    made = FilterState(fact.filter, fact.rule, _next_version(state, fact.parent))
    return _with_filters(state, fact.parent, (*filters, made))


def _filter_updated(state: State, fact: facts_pb2.FilterUpdated) -> State:
    filters = tuple(
        FilterState(one.id, fact.rule, _next_version(state, fact.parent)) if one.id == fact.filter else one
        for one in filters_of(state, fact.parent)
    )
    return _with_filters(state, fact.parent, filters)


def _filter_deleted(state: State, fact: facts_pb2.FilterDeleted) -> State:
    filters = tuple(one for one in filters_of(state, fact.parent) if one.id != fact.filter)
    return _with_filters(state, fact.parent, filters)


def _filters_reordered(state: State, fact: facts_pb2.FiltersReordered) -> State:
    by_id = {one.id: one for one in filters_of(state, fact.parent)}
    return _with_filters(state, fact.parent, tuple(by_id[one] for one in fact.filters))


def _next_version(state: State, parent: str) -> int:
    """That of the fact which is being applied, in its stream: no filter of that id ever had it before."""
    return state.stream_version(parent or "workspace") + 1


def filters_of(state: State, parent: str) -> tuple[FilterState, ...]:
    """The filters of "destinations/{destination}", "sources/{source}" or "", the workspace. Raises KeyError."""
    kind, _, entity = parent.partition("/")
    if kind == "destinations":
        return state.destinations[entity].filters
    return state.sources[entity].filters if kind == "sources" else state.filters


def _with_filters(state: State, parent: str, filters: tuple[FilterState, ...]) -> State:
    kind, _, entity = parent.partition("/")
    if kind == "destinations":
        return _changed(state, entity, filters=filters)
    if kind == "sources":
        source = state.sources[entity]
        return _with_source(state, replace(source, revision=source.revision + 1, filters=filters))
    return replace(state, revision=state.revision + 1, filters=filters)


def _changed(state: State, name: str, **changes: Any) -> State:
    destination = state.destinations[name]
    return _with_destination(state, replace(destination, revision=destination.revision + 1, **changes))


def _with_source(state: State, source: SourceState) -> State:
    return with_entries(state, "sources", {source.id: source})


def _with_destination(state: State, destination: DestinationState) -> State:
    return with_entries(state, "destinations", {destination.id: destination})


EVOLVERS: Mapping[type[Message], Callable[[State, Any], State]] = {
    facts_pb2.SourceCreated: _source_created,
    facts_pb2.SourceUpdated: _source_updated,
    facts_pb2.SourceDeleted: _source_deleted,
    facts_pb2.WriteKeyCreated: _write_key_created,
    facts_pb2.WriteKeyRevoked: _write_key_revoked,
    facts_pb2.DestinationConnected: _destination_connected,
    facts_pb2.DestinationDisconnected: _destination_disconnected,
    facts_pb2.SettingsChanged: _settings_changed,
    facts_pb2.DestinationEnabled: _destination_enabled,
    facts_pb2.DestinationDisabled: _destination_disabled,
    facts_pb2.DestinationInvoked: _destination_invoked,
    facts_pb2.DeliveryPolicyUpdated: _delivery_policy_updated,
    facts_pb2.FilterCreated: _filter_created,
    facts_pb2.FilterUpdated: _filter_updated,
    facts_pb2.FilterDeleted: _filter_deleted,
    facts_pb2.FiltersReordered: _filters_reordered,
}
