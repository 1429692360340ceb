"""The frozen state of a workspace; `evolve` says how each fact changes it.

Code bodies are left out: only their hashes are needed to decide, and a workspace may hold megabytes of code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from onward.registry.v1 import resources_pb2

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

# Collections whose ids are chosen by people or made from names, and never given again.
KINDS: Final = ("members", "functions", "sources", "destinations")


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
class FilterState:
    """A filter; `revision` is the version of its parent's stream when it last changed."""

    id: str
    rule: resources_pb2.FilterRule
    revision: int


@dataclass(frozen=True, slots=True)
class BindingState:
    """A role that a member has."""

    id: str
    grant: resources_pb2.RoleGrant


@dataclass(frozen=True, slots=True)
class MemberState:
    """A person or a service account; `revision` is the version of its stream."""

    id: str
    kind: resources_pb2.MemberKind.ValueType
    revision: int = 0
    bindings: Mapping[str, BindingState] = field(default_factory=dict)

    @property
    def owner(self) -> bool:
        return any(one.grant.role == resources_pb2.ROLE_OWNER for one in self.bindings.values())


@dataclass(frozen=True, slots=True)
class TokenState:
    """A token that works; `revision` is the version of its stream."""

    id: str
    member: str
    revision: int = 0


@dataclass(frozen=True, slots=True)
class FunctionState:
    """A function; `revision` is the version of its stream."""

    id: str
    revision: int = 0
    versions: tuple[VersionState, ...] = ()
    display_name: str = ""
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def latest(self) -> VersionState:
        return self.versions[-1]

    def version(self, number: int) -> VersionState | None:
        return self.versions[number - 1] if 1 <= number <= len(self.versions) else None


@dataclass(frozen=True, slots=True)
class SourceState:
    """A source; `revision` is the version of its stream."""

    id: str
    revision: int = 0
    display_name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    write_keys: tuple[str, ...] = ()
    filters: tuple[FilterState, ...] = ()


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
    # Disabled with a mark from which enabling begins.
    held: bool = False
    settings: Mapping[str, StoredSetting] = field(default_factory=dict)
    settings_revision: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    policy: resources_pb2.DeliveryPolicy = field(default_factory=resources_pb2.DeliveryPolicy)
    filters: tuple[FilterState, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """A workspace as far as decisions need it. `revision` is the version of the stream `workspace`.

    What was deleted is in `ended_...` only: the last version of its stream by its id, which is not given again, since
    the trail and the history of deliveries go on naming it.
    """

    revision: int = 0
    display_name: str = ""
    functions_max: int = 0
    # None where the operator has not said.
    retries_max: int | None = None
    retry_horizon_max_s: int | None = None
    members_may_edit_functions: bool = False
    egress_ranges: tuple[str, ...] = ()
    filters: tuple[FilterState, ...] = ()
    members: Mapping[str, MemberState] = field(default_factory=dict)
    tokens: Mapping[str, TokenState] = field(default_factory=dict)
    functions: Mapping[str, FunctionState] = field(default_factory=dict)
    sources: Mapping[str, SourceState] = field(default_factory=dict)
    destinations: Mapping[str, DestinationState] = field(default_factory=dict)
    ended_members: Mapping[str, int] = field(default_factory=dict)
    ended_functions: Mapping[str, int] = field(default_factory=dict)
    ended_sources: Mapping[str, int] = field(default_factory=dict)
    ended_destinations: Mapping[str, int] = field(default_factory=dict)

    @property
    def exists(self) -> bool:
        return self.revision > 0

    def stream_version(self, stream: str) -> int:
        """The last version of a stream; 0 where it has no facts."""
        kind, _, entity = stream.partition("/")
        if kind == "workspace":
            return self.revision
        if kind == "tokens":
            token = self.tokens.get(entity)
            return token.revision if token else 0
        if kind not in KINDS:
            return 0
        found = self.held(kind).get(entity)
        return found.revision if found else self.ended(kind).get(entity, 0)

    def tracks(self, stream: str) -> bool:
        """Whether `stream_version` knows a stream: not that of a day, whose facts change nothing."""
        return stream.partition("/")[0] in ("workspace", "tokens", *KINDS)

    def held(self, kind: str) -> Mapping[str, Any]:
        """What exists of a kind, such as "functions", by id."""
        held: Mapping[str, Any] = getattr(self, kind)
        return held

    def ended(self, kind: str) -> Mapping[str, int]:
        """The last versions of the streams of what was deleted of a kind, by id."""
        ended: Mapping[str, int] = getattr(self, f"ended_{kind}")
        return ended

    def is_taken(self, kind: str, entity: str) -> bool:
        """Whether an id exists or ever existed."""
        return entity in self.held(kind) or entity in self.ended(kind)

    def ids_given(self, kind: str) -> int:
        """How many ids of a kind exist or ever existed."""
        return len(self.held(kind)) + len(self.ended(kind))

    def destinations_of(self, function: str) -> list[DestinationState]:
        """The destinations that run a function."""
        return [one for one in self.destinations.values() if one.function == function]
