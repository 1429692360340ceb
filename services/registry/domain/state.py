"""The frozen state of a workspace, and how each fact changes it.

Code bodies are left out: only their hashes are needed to decide, and a workspace may hold megabytes of code.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

from google.protobuf.message import Message

from onward.registry.v1 import facts_pb2, resources_pb2

SettingTypeValue: TypeAlias = resources_pb2.SettingType.ValueType
Definitions = tuple[resources_pb2.SettingDefinition, ...]

_VALUE_TYPES: Mapping[str, SettingTypeValue] = MappingProxyType(
    {
        "string_value": resources_pb2.SETTING_TYPE_STRING,
        "bool_value": resources_pb2.SETTING_TYPE_BOOLEAN,
        "list_value": resources_pb2.SETTING_TYPE_STRING_LIST,
        "map_value": resources_pb2.SETTING_TYPE_STRING_MAP,
    }
)


def type_of(value: resources_pb2.SettingValue) -> SettingTypeValue:
    """The type of a value; UNSPECIFIED for one that holds nothing."""
    kind = value.WhichOneof("value")
    return _VALUE_TYPES[kind] if kind else resources_pb2.SETTING_TYPE_UNSPECIFIED


@dataclass(frozen=True, slots=True)
class VersionState:
    """One immutable save of a function."""

    number: int
    code_sha256: str
    definitions: Definitions
    timeout_ms: int
    handlers: tuple[str, ...]

    def definition(self, name: str) -> resources_pb2.SettingDefinition | None:
        return next((one for one in self.definitions if one.name == name), None)


@dataclass(frozen=True, slots=True)
class FunctionState:
    """A function; `revision` is the version of its stream."""

    id: str
    revision: int = 0
    versions: tuple[VersionState, ...] = ()

    @property
    def latest(self) -> VersionState:
        return self.versions[-1]

    def version(self, number: int) -> VersionState | None:
        return self.versions[number - 1] if 1 <= number <= len(self.versions) else None


@dataclass(frozen=True, slots=True)
class SourceState:
    """A source."""

    id: str
    revision: int = 0


@dataclass(frozen=True, slots=True)
class StoredSetting:
    """A value that is stored. `value` is absent where it is encrypted."""

    type: SettingTypeValue
    value: resources_pb2.SettingValue | None

    @property
    def encrypted(self) -> bool:
        return self.value is None

    def fits(self, definition: resources_pb2.SettingDefinition) -> bool:
        """Whether it counts as the value of this definition."""
        return self.type == definition.type and self.encrypted == definition.encrypted


@dataclass(frozen=True, slots=True)
class DestinationState:
    """A destination; `revision` is the version of its stream."""

    id: str
    display_name: str
    function: str
    source: str
    version: int
    revision: int = 0
    enabled: bool = False
    settings: Mapping[str, StoredSetting] = field(default_factory=dict)
    settings_revision: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """A workspace as far as decisions need it. `revision` is the version of the stream `workspace`."""

    revision: int = 0
    functions_max: int = 0
    egress_ranges: tuple[str, ...] = ()
    functions: Mapping[str, FunctionState] = field(default_factory=dict)
    sources: Mapping[str, SourceState] = field(default_factory=dict)
    destinations: Mapping[str, DestinationState] = field(default_factory=dict)

    @property
    def exists(self) -> bool:
        return self.revision > 0

    def stream_version(self, stream: str) -> int:
        """The last version of a stream; 0 where it has no facts."""
        kind, _, entity = stream.partition("/")
        if kind == "workspace":
            return self.revision
        held: Mapping[str, Mapping[str, Any]] = {
            "functions": self.functions,
            "sources": self.sources,
            "destinations": self.destinations,
        }
        found = held.get(kind, {}).get(entity)
        return found.revision if found else 0


def _workspace_created(state: State, fact: facts_pb2.WorkspaceCreated) -> State:
    return dataclasses.replace(state, revision=state.revision + 1, functions_max=fact.functions_max)


def _limits_set(state: State, fact: facts_pb2.LimitsSet) -> State:
    return dataclasses.replace(state, revision=state.revision + 1, functions_max=fact.functions_max)


def _egress_range_allowed(state: State, fact: facts_pb2.EgressRangeAllowed) -> State:
    ranges = (*state.egress_ranges, fact.range)
    return dataclasses.replace(state, revision=state.revision + 1, egress_ranges=ranges)


def _token_created(state: State, fact: facts_pb2.TokenCreated) -> State:
    return state


def _function_created(state: State, fact: facts_pb2.FunctionCreated) -> State:
    return _with_function(state, FunctionState(fact.function, revision=1))


def _function_version_saved(state: State, fact: facts_pb2.FunctionVersionSaved) -> State:
    function = state.functions[fact.function]
    assert fact.number == len(function.versions) + 1, "versions are contiguous from 1"
    version = VersionState(
        number=fact.number,
        code_sha256=fact.code_sha256,
        definitions=tuple(fact.definitions),
        timeout_ms=fact.timeout_ms,
        handlers=tuple(fact.handlers),
    )
    return _with_function(
        state,
        dataclasses.replace(function, revision=function.revision + 1, versions=(*function.versions, version)),
    )


def _version_deployed(state: State, fact: facts_pb2.VersionDeployed) -> State:
    function = state.functions[fact.function]
    moved = {name: dataclasses.replace(state.destinations[name], version=fact.number) for name in fact.destinations}
    state = dataclasses.replace(state, destinations={**state.destinations, **moved})
    return _with_function(state, dataclasses.replace(function, revision=function.revision + 1))


def _source_created(state: State, fact: facts_pb2.SourceCreated) -> State:
    return dataclasses.replace(state, sources={**state.sources, fact.source: SourceState(fact.source, revision=1)})


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
        ),
    )


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
        dataclasses.replace(
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
    return _switched(state, fact.destination, enabled=True)


def _destination_disabled(state: State, fact: facts_pb2.DestinationDisabled) -> State:
    return _switched(state, fact.destination, enabled=False)


def _switched(state: State, name: str, *, enabled: bool) -> State:
    destination = state.destinations[name]
    return _with_destination(
        state,
        dataclasses.replace(destination, revision=destination.revision + 1, enabled=enabled),
    )


def _with_function(state: State, function: FunctionState) -> State:
    return dataclasses.replace(state, functions={**state.functions, function.id: function})


def _with_destination(state: State, destination: DestinationState) -> State:
    return dataclasses.replace(state, destinations={**state.destinations, destination.id: destination})


_EVOLVERS: Mapping[type[Message], Callable[[State, Any], State]] = MappingProxyType(
    {
        facts_pb2.WorkspaceCreated: _workspace_created,
        facts_pb2.LimitsSet: _limits_set,
        facts_pb2.EgressRangeAllowed: _egress_range_allowed,
        facts_pb2.TokenCreated: _token_created,
        facts_pb2.FunctionCreated: _function_created,
        facts_pb2.FunctionVersionSaved: _function_version_saved,
        facts_pb2.VersionDeployed: _version_deployed,
        facts_pb2.SourceCreated: _source_created,
        facts_pb2.DestinationConnected: _destination_connected,
        facts_pb2.SettingsChanged: _settings_changed,
        facts_pb2.DestinationEnabled: _destination_enabled,
        facts_pb2.DestinationDisabled: _destination_disabled,
    }
)

FACT_TYPES: tuple[type[Message], ...] = tuple(_EVOLVERS)


def evolve(state: State, fact: Message) -> State:
    """The state after a fact. A fact type that is not known is a fault of ours: it raises KeyError."""
    return _EVOLVERS[type(fact)](state, fact)
