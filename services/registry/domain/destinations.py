"""Decisions on destinations."""

from __future__ import annotations

from kit.eventstore.facts import NewFact
from kit.rpc.names import malformed
from onward.registry.v1 import destination_service_pb2, facts_pb2, resources_pb2
from services.registry.domain import ids
from services.registry.domain.delivery_policies import require_policy
from services.registry.domain.evolve import evolve
from services.registry.domain.functions import destination_name, require_function, require_version
from services.registry.domain.settings import KeyedHash, change_settings, missing_settings
from services.registry.domain.state import DestinationState, State, VersionState
from services.registry.errors import (
    DisplayNameTaken,
    Missing,
    SettingsMissing,
    WorkspaceLimitReached,
)

# Every executor holds all destinations of the workspaces that it serves in memory.
DESTINATIONS_MAX = 10_000


def require_destination(state: State, workspace: str, destination: str) -> DestinationState:
    """The destination; raises Missing."""
    try:
        return state.destinations[destination]
    except KeyError:
        raise Missing(destination_name(workspace, destination)) from None


def decide_connect(
    state: State,
    request: destination_service_pb2.ConnectDestinationRequest,
    workspace: str,
    source: str,
    function: str,
    keyed_hash: KeyedHash,
) -> list[NewFact]:
    """A disabled destination, with the values that were given."""
    if source not in state.sources:
        raise Missing(f"workspaces/{workspace}/sources/{source}")
    version = require_version(workspace, require_function(state, workspace, function), request.version or None)
    destination_id = ids.new_id(state, workspace, "destinations", request.destination_id, request.display_name)
    _require_free(state, request, workspace, source)
    connected = facts_pb2.DestinationConnected(
        destination=destination_id,
        display_name=request.display_name,
        function=function,
        source=source,
        version=version.number,
        labels=request.labels,
    )
    destination = evolve(state, connected).destinations[connected.destination]
    return [
        NewFact(f"destinations/{destination.id}", connected),
        *change_settings(version, destination, request.settings, {}, keyed_hash),
    ]


def _require_free(
    state: State, request: destination_service_pb2.ConnectDestinationRequest, workspace: str, source: str
) -> None:
    if len(state.destinations) >= DESTINATIONS_MAX:
        raise WorkspaceLimitReached("destinations", DESTINATIONS_MAX, "Use one that exists.")
    for other in state.destinations.values():
        if other.source == source and other.display_name == request.display_name:
            raise DisplayNameTaken(other.display_name, destination_name(workspace, other.id))


def decide_set_settings(
    state: State,
    request: destination_service_pb2.SetSettingsRequest,
    workspace: str,
    destination_id: str,
    keyed_hash: KeyedHash,
) -> list[NewFact]:
    """New and removed values. Raises SettingsMissing where an enabled destination would lack one."""
    destination = _current(state, workspace, destination_id, request.etag)
    version = running_version(state, destination)
    cleared = dict.fromkeys(request.clear)
    facts = change_settings(version, destination, request.set, cleared, keyed_hash)
    for fact in facts:
        after = evolve(state, fact.data).destinations[destination.id]
        if destination.enabled and (names := missing_settings(version, after.settings)):
            raise SettingsMissing({destination.id: names})
    return facts


def decide_set_plain_settings(
    state: State, request: destination_service_pb2.SetSettingsRequest, workspace: str, destination_id: str
) -> list[NewFact]:
    """The same where neither a value that is given nor one that is there is encrypted; else nothing."""
    sealed = False

    def keyed_hash(_destination: str, _name: str, _value: resources_pb2.SettingValue) -> str:
        nonlocal sealed
        sealed = True
        return ""

    facts = decide_set_settings(state, request, workspace, destination_id, keyed_hash)
    stored = state.destinations[destination_id].settings
    replaced = (stored.get(name) for name in (*request.set, *request.clear))
    return [] if sealed or any(one is not None and one.encrypted for one in replaced) else facts


def decide_enable(
    state: State,
    request: destination_service_pb2.EnableDestinationRequest,
    workspace: str,
    destination_id: str,
) -> list[NewFact]:
    """Nothing for a destination that is enabled. Raises SettingsMissing, InvalidArgument."""
    destination = _current(state, workspace, destination_id, request.etag)
    if destination.enabled:
        return []
    if names := missing_settings(running_version(state, destination), destination.settings):
        raise SettingsMissing({destination.id: names})
    fact = facts_pb2.DestinationEnabled(destination=destination.id)
    start = _start(destination, request)
    if start != resources_pb2.ENABLE_START_NOW:
        fact.start = start
    if start == resources_pb2.ENABLE_START_TIME:
        fact.start_time.CopyFrom(request.start_time)
    return [NewFact(f"destinations/{destination.id}", fact)]


def _start(
    destination: DestinationState, request: destination_service_pb2.EnableDestinationRequest
) -> resources_pb2.EnableStart.ValueType:
    """From which events on: as asked for, else from the mark if there is one. Raises InvalidArgument."""
    if request.HasField("start_time") != (request.start == resources_pb2.ENABLE_START_TIME):
        raise malformed("start_time", "goes with ENABLE_START_TIME, and only with it")
    if request.start:
        return request.start
    return resources_pb2.ENABLE_START_SINCE_DISABLED if destination.held else resources_pb2.ENABLE_START_NOW


def decide_disable(
    state: State,
    request: destination_service_pb2.DisableDestinationRequest,
    workspace: str,
    destination_id: str,
) -> list[NewFact]:
    """Nothing for a destination that is disabled."""
    destination = _current(state, workspace, destination_id, request.etag)
    if not destination.enabled:
        return []
    fact = facts_pb2.DestinationDisabled(destination=destination.id, hold=request.hold)
    return [NewFact(f"destinations/{destination.id}", fact)]


def decide_disconnect(
    state: State,
    request: destination_service_pb2.DisconnectDestinationRequest,
    workspace: str,
    destination_id: str,
) -> list[NewFact]:
    """The destination's end. What is still pending for it is given up by those who deliver."""
    destination = _current(state, workspace, destination_id, request.etag)
    fact = facts_pb2.DestinationDisconnected(destination=destination.id)
    return [NewFact(f"destinations/{destination.id}", fact)]


def decide_update_policy(
    state: State,
    request: destination_service_pb2.UpdateDeliveryPolicyRequest,
    workspace: str,
    destination_id: str,
) -> list[NewFact]:
    """Nothing for a policy that is the same."""
    destination = _current(state, workspace, destination_id, request.etag)
    if request.policy == destination.policy:
        return []
    require_policy(state, request.policy, destination.policy)
    fact = facts_pb2.DeliveryPolicyUpdated(destination=destination.id, policy=request.policy)
    return [NewFact(f"destinations/{destination.id}", fact)]


def running_version(state: State, destination: DestinationState) -> VersionState:
    """The version that the destination runs, which exists."""
    version = state.functions[destination.function].version(destination.version)
    assert version is not None, "a destination runs a version that exists"
    return version


def _current(state: State, workspace: str, destination_id: str, etag: str) -> DestinationState:
    destination = require_destination(state, workspace, destination_id)
    ids.require_etag(destination_name(workspace, destination_id), etag, ids.etag_of(destination))
    return destination
