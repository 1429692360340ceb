"""Decisions on versions: saving, restoring and deploying them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kit.auth.demand import Subset
from kit.errors import LimitReached
from kit.eventstore.facts import NewFact
from onward.registry.v1 import facts_pb2, function_service_pb2, resources_pb2
from services.registry.domain.evolve import evolve
from services.registry.domain.functions import (
    destination_name,
    function_name,
    require_etag,
    require_function,
    require_sources,
    require_version,
    version_saved,
)
from services.registry.domain.settings import KeyedHash, migrate_settings, missing_settings
from services.registry.domain.state import DestinationState, FunctionState, State
from services.registry.errors import InvalidField, Missing, OtherFunction, SettingsMissing

# A deployment is one transaction; see also the event log's bound on the facts of one append.
DEPLOYMENT_DESTINATIONS_MAX = 1000


def decide_save_function(
    state: State,
    request: function_service_pb2.SaveFunctionRequest,
    workspace: str,
    function_id: str,
    handlers: Iterable[str],
    keyed_hash: KeyedHash,
    sources: Subset,
) -> list[NewFact]:
    """The next version, deployed where the request says so; refused as a whole. See decide_deploy for `sources`."""
    function = require_function(state, workspace, function_id)
    require_etag(workspace, function, request.etag)
    saved = version_saved(
        function.id,
        function.latest.number + 1,
        request.code,
        _definitions(function, request),
        request.timeout_ms or function.latest.timeout_ms,
        handlers,
    )
    return _with_deployment(state, saved, request, workspace, keyed_hash, sources)


def decide_restore_version(
    state: State,
    request: function_service_pb2.RestoreVersionRequest,
    workspace: str,
    function_id: str,
    number: int | None,
    code: str,
    keyed_hash: KeyedHash,
    sources: Subset,
) -> list[NewFact]:
    """The next version, which repeats the one with that number and code; deployed as decide_save_function does.

    The newest itself is what the caller asks for already: no version is made, and only what is to be deployed is.
    """
    function = require_function(state, workspace, function_id)
    require_etag(workspace, function, request.etag)
    old = require_version(workspace, function, number)
    if old.number == function.latest.number:
        if not request.HasField("deploy_to"):
            return []
        return decide_deploy(state, workspace, function.id, old.number, request.deploy_to, keyed_hash, sources)
    following = function.latest.number + 1
    saved = version_saved(function.id, following, code, old.definitions, old.timeout_ms, old.handlers)
    saved.restored_from = old.number
    return _with_deployment(state, saved, request, workspace, keyed_hash, sources)


def _with_deployment(
    state: State,
    saved: facts_pb2.FunctionVersionSaved,
    request: function_service_pb2.SaveFunctionRequest | function_service_pb2.RestoreVersionRequest,
    workspace: str,
    keyed_hash: KeyedHash,
    sources: Subset,
) -> list[NewFact]:
    facts = [NewFact(f"functions/{saved.function}", saved)]
    if request.HasField("deploy_to"):
        after, target = evolve(state, saved), request.deploy_to
        facts += decide_deploy(after, workspace, saved.function, saved.number, target, keyed_hash, sources)
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


def decide_deploy_version(
    state: State,
    request: function_service_pb2.DeployVersionRequest,
    workspace: str,
    function_id: str,
    number: int | None,
    keyed_hash: KeyedHash,
    sources: Subset,
) -> list[NewFact]:
    """See decide_deploy; None means the newest version."""
    function = require_function(state, workspace, function_id)
    require_etag(workspace, function, request.etag)
    return decide_deploy(state, workspace, function_id, number, request.target, keyed_hash, sources)


def decide_deploy(
    state: State,
    workspace: str,
    function_id: str,
    number: int | None,
    target: function_service_pb2.DeploymentTarget,
    keyed_hash: KeyedHash,
    sources: Subset,
) -> list[NewFact]:
    """The version for each destination that does not run it yet, and what it means for their stored settings.

    `sources` are those that the caller administers. Raises SourcesRefused where a destination's is not among them: of
    all destinations that are asked for, also of those that run the version already, so that the answer depends on the
    caller alone and not on what somebody else deployed before. Raises SettingsMissing where an enabled destination
    would be left without a required value.
    """
    function = require_function(state, workspace, function_id)
    version = require_version(workspace, function, number)
    asked = _targets(state, workspace, function, target, sources)
    require_sources(asked, sources)
    moved = [destination for destination in asked if destination.version != version.number]
    missing = {
        destination.id: names
        for destination in moved
        if destination.enabled and (names := missing_settings(version, destination.settings))
    }
    if missing:
        raise SettingsMissing(missing, deploying=True)
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
    sources: Subset,
) -> list[DestinationState]:
    if target.WhichOneof("target") == "all":
        if not target.all:
            raise InvalidField("target.all", "must be true, or name the destinations instead")
        found = state.destinations_of(function.id)
    else:
        prefix = destination_name(workspace, "")
        wanted = dict.fromkeys(target.named.names)
        found = [_target(state, workspace, function, name, name.removeprefix(prefix), sources) for name in wanted]
    if len(found) > DEPLOYMENT_DESTINATIONS_MAX:
        raise LimitReached(
            f"The function has {len(found)} destinations; one deployment may reach "
            f"{DEPLOYMENT_DESTINATIONS_MAX}. Name a part of them at a time.",
            metadata={"limit": "deployment_destinations", "max": str(DEPLOYMENT_DESTINATIONS_MAX)},
        )
    return found


def _target(
    state: State, workspace: str, function: FunctionState, name: str, destination_id: str, sources: Subset
) -> DestinationState:
    destination = state.destinations.get(destination_id)
    # A name with another workspace's prefix keeps it, and no id looks like that.
    if destination is None:
        raise Missing(name)
    if destination.function != function.id:
        # Who administers its source may know of it; others learn nothing of another function's destinations.
        if destination.source in sources:
            raise OtherFunction(name, function_name(workspace, function.id))
        raise Missing(name)
    return destination
