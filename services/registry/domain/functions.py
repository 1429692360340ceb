"""Decisions on functions, their versions and deployments."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from kit.errors import LimitReached
from kit.eventstore.facts import NewFact
from onward.registry.v1 import facts_pb2, function_service_pb2, resources_pb2
from services.registry.domain import ids
from services.registry.domain.evolve import evolve
from services.registry.domain.settings import KeyedHash, migrate_settings, missing_settings
from services.registry.domain.state import DestinationState, FunctionState, State, VersionState
from services.registry.errors import (
    IdTaken,
    InvalidField,
    Missing,
    OtherFunction,
    SettingsMissing,
    StaleEtag,
    WorkspaceLimitReached,
)
from services.registry.templates import Template

TIMEOUT_MS_DEFAULT = 5000
# A deployment is one transaction; see also the event log's bound on the facts of one append.
DEPLOYMENT_DESTINATIONS_MAX = 1000


def function_name(workspace: str, function: str) -> str:
    return f"workspaces/{workspace}/functions/{function}"


def destination_name(workspace: str, destination: str) -> str:
    return f"workspaces/{workspace}/destinations/{destination}"


def require_function(state: State, workspace: str, function: str) -> FunctionState:
    """The function; raises Missing."""
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


def decide_create_function(
    state: State,
    request: function_service_pb2.CreateFunctionRequest,
    workspace: str,
    template: Template,
) -> list[NewFact]:
    """The function and its first version, which is the template's code."""
    if request.function_id in state.functions:
        raise IdTaken(function_name(workspace, request.function_id))
    if len(state.functions) >= state.functions_max:
        raise WorkspaceLimitReached(
            "functions", state.functions_max, "Ask the operator for more, or use one that exists."
        )
    function = request.function_id or ids.free_id(request.display_name, "function", state.functions)
    created = facts_pb2.FunctionCreated(
        function=function,
        display_name=request.display_name,
        description=request.description,
        template=template.name,
        labels=request.labels,
    )
    saved = _saved(function, 1, template.code, template.definitions, TIMEOUT_MS_DEFAULT, template.handlers)
    return [NewFact(f"functions/{function}", created), NewFact(f"functions/{function}", saved)]


def decide_save_function(
    state: State,
    request: function_service_pb2.SaveFunctionRequest,
    workspace: str,
    function_id: str,
    handlers: Iterable[str],
    keyed_hash: KeyedHash,
) -> list[NewFact]:
    """The next version, deployed where the request says so; refused as a whole."""
    function = require_function(state, workspace, function_id)
    current = ids.function_etag(function.revision)
    if request.etag and request.etag != current:
        raise StaleEtag(request.name, current)
    saved = _saved(
        function.id,
        function.latest.number + 1,
        request.code,
        _definitions(function, request),
        request.timeout_ms or function.latest.timeout_ms,
        handlers,
    )
    facts = [NewFact(f"functions/{function.id}", saved)]
    if request.HasField("deploy_to"):
        facts += decide_deploy(
            evolve(state, saved), workspace, function.id, saved.number, request.deploy_to, keyed_hash
        )
    return facts


def _definitions(
    function: FunctionState, request: function_service_pb2.SaveFunctionRequest
) -> Sequence[resources_pb2.SettingDefinition]:
    if request.keep_definitions:
        return function.latest.definitions
    seen: set[str] = set()
    for index, definition in enumerate(request.definitions):
        if definition.name in seen:
            raise InvalidField(
                f"definitions[{index}].name",
                f"{definition.name!r} is defined twice; rename one",
            )
        seen.add(definition.name)
    return request.definitions


def _saved(
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


def decide_deploy(
    state: State,
    workspace: str,
    function_id: str,
    number: int | None,
    target: function_service_pb2.DeploymentTarget,
    keyed_hash: KeyedHash,
) -> list[NewFact]:
    """The version for each destination that does not run it yet, and what it means for their stored settings.

    Raises SettingsMissing where an enabled destination would be left without a required value.
    """
    function = require_function(state, workspace, function_id)
    version = require_version(workspace, function, number)
    asked = _targets(state, workspace, function, target)
    moved = [destination for destination in asked if destination.version != version.number]
    missing = {
        destination.id: names
        for destination in moved
        if destination.enabled and (names := missing_settings(version, destination.settings))
    }
    if missing:
        raise SettingsMissing(missing)
    if not moved:
        return []
    deployed = facts_pb2.VersionDeployed(
        function=function.id, number=version.number, destinations=[one.id for one in moved]
    )
    changes = [migrate_settings(one, version, keyed_hash) for one in moved]
    return [NewFact(f"functions/{function.id}", deployed), *(fact for fact in changes if fact)]


def _targets(
    state: State,
    workspace: str,
    function: FunctionState,
    target: function_service_pb2.DeploymentTarget,
) -> list[DestinationState]:
    if target.WhichOneof("target") == "all":
        if not target.all:
            raise InvalidField("target.all", "must be true, or name the destinations instead")
        found = [one for one in state.destinations.values() if one.function == function.id]
    else:
        prefix = destination_name(workspace, "")
        wanted = dict.fromkeys(target.named.names)
        found = [_target(state, workspace, function, name, name.removeprefix(prefix)) for name in wanted]
    if len(found) > DEPLOYMENT_DESTINATIONS_MAX:
        raise LimitReached(
            f"The function has {len(found)} destinations; one deployment may reach "
            f"{DEPLOYMENT_DESTINATIONS_MAX}. Name a part of them at a time.",
            metadata={"limit": "deployment_destinations", "max": str(DEPLOYMENT_DESTINATIONS_MAX)},
        )
    return found


def _target(state: State, workspace: str, function: FunctionState, name: str, destination_id: str) -> DestinationState:
    destination = state.destinations.get(destination_id)
    # A name with another workspace's prefix keeps it, and no id looks like that.
    if destination is None:
        raise Missing(name)
    if destination.function != function.id:
        raise OtherFunction(name, function_name(workspace, function.id))
    return destination
