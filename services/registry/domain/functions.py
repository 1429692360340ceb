"""Decisions on functions: their lives, names and ends. Those on versions are in versions.py."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from kit.auth.demand import Subset
from kit.errors import LimitReached
from kit.eventstore.facts import NewFact
from onward.registry.v1 import facts_pb2, function_service_pb2, resources_pb2
from services.registry.domain import ids
from services.registry.domain.state import DestinationState, FunctionState, State, VersionState
from services.registry.errors import InUse, Missing, SourcesRefused, WorkspaceLimitReached
from services.registry.templates import Template

TIMEOUT_MS_DEFAULT = 5000
# With the function's own end they are one append, whose facts the event log bounds.
DISCONNECTIONS_MAX = 999


def function_name(workspace: str, function: str) -> str:
    return f"workspaces/{workspace}/functions/{function}"


def destination_name(workspace: str, destination: str) -> str:
    return f"workspaces/{workspace}/destinations/{destination}"


def require_function(state: State, workspace: str, function: str) -> FunctionState:
    """The function; raises Missing, for a deleted one, too."""
    try:
        return state.functions[function]
    except KeyError:
        raise Missing(function_name(workspace, function)) from None


def require_version(workspace: str, function: FunctionState, number: int | None) -> VersionState:
    """The version with that number, None meaning the newest; raises Missing."""
    if number is None:
        return function.latest
    version = function.version(number)
    if version is None:
        raise Missing(f"{function_name(workspace, function.id)}/versions/{number}")
    return version


def require_etag(workspace: str, function: FunctionState, etag: str) -> None:
    """Raises StaleEtag for one that is given and not the function's."""
    ids.require_etag(function_name(workspace, function.id), etag, ids.function_etag(function.revision))


def require_sources(destinations: Iterable[DestinationState], sources: Subset) -> None:
    """Raises SourcesRefused for those of the destinations that are not among what the caller administers."""
    lacking = {one.source for one in destinations if one.source not in sources}
    if lacking:
        raise SourcesRefused(sorted(lacking))


def decide_create_function(
    state: State,
    request: function_service_pb2.CreateFunctionRequest,
    workspace: str,
    template: Template,
) -> list[NewFact]:
    """The function and its first version, which is the template's code."""
    function = ids.new_id(state, workspace, "functions", request.function_id, request.display_name)
    if len(state.functions) >= state.functions_max:
        raise WorkspaceLimitReached(
            "functions", state.functions_max, "Ask the operator for more, or delete one that nobody needs."
        )
    created = facts_pb2.FunctionCreated(
        function=function,
        display_name=request.display_name,
        description=request.description,
        template=template.name,
        labels=request.labels,
    )
    saved = version_saved(function, 1, template.code, template.definitions, TIMEOUT_MS_DEFAULT, template.handlers)
    return [NewFact(f"functions/{function}", created), NewFact(f"functions/{function}", saved)]


def version_saved(
    function: str,
    number: int,
    code: str,
    definitions: Iterable[resources_pb2.SettingDefinition],
    timeout_ms: int,
    handlers: Iterable[str],
) -> facts_pb2.FunctionVersionSaved:
    return facts_pb2.FunctionVersionSaved(
        function=function,
        number=number,
        code=code,
        code_sha256=hashlib.sha256(code.encode()).hexdigest(),
        definitions=definitions,
        timeout_ms=timeout_ms,
        handlers=handlers,
    )


def decide_update_function(
    state: State, request: function_service_pb2.UpdateFunctionRequest, workspace: str, function_id: str
) -> list[NewFact]:
    """What differs; nothing where nothing does."""
    function = require_function(state, workspace, function_id)
    require_etag(workspace, function, request.etag)
    updated = facts_pb2.FunctionUpdated(function=function.id)
    if request.HasField("display_name") and request.display_name != function.display_name:
        updated.display_name = request.display_name
    if request.HasField("description") and request.description != function.description:
        updated.description = request.description
    if request.HasField("labels") and dict(request.labels.labels) != dict(function.labels):
        updated.labels.CopyFrom(request.labels)
    if updated == facts_pb2.FunctionUpdated(function=function.id):
        return []
    return [NewFact(f"functions/{function.id}", updated)]


def decide_delete_function(
    state: State,
    request: function_service_pb2.DeleteFunctionRequest,
    workspace: str,
    function_id: str,
    sources: Subset,
) -> list[NewFact]:
    """The function's end, after that of its destinations where the request says so. `sources` are the caller's.

    Raises InUse while destinations are connected, and SourcesRefused where the caller may not disconnect each of them.
    """
    function = require_function(state, workspace, function_id)
    require_etag(workspace, function, request.etag)
    connected = sorted(state.destinations_of(function.id), key=lambda one: one.id)
    name = function_name(workspace, function.id)
    if connected and not request.disconnect:
        raise InUse(name, [one.id for one in connected], "Disconnect them first, or set `disconnect`.")
    require_sources(connected, sources)
    if len(connected) > DISCONNECTIONS_MAX:
        raise LimitReached(
            f"{name} has {len(connected)} destinations; {DISCONNECTIONS_MAX} are disconnected at once. "
            "Disconnect some of them first.",
            metadata={"limit": "disconnections", "max": str(DISCONNECTIONS_MAX)},
        )
    ends = [
        NewFact(f"destinations/{one.id}", facts_pb2.DestinationDisconnected(destination=one.id)) for one in connected
    ]
    return [*ends, NewFact(f"functions/{function.id}", facts_pb2.FunctionDeleted(function=function.id))]
