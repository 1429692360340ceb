"""Commands on functions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from kit.auth.caller import current_caller
from kit.auth.demand import NOTHING
from kit.eventstore.facts import NewFact
from kit.eventstore.store import Times, Unit
from kit.eventstore.turns import Turns
from kit.postgres.pool import Connection, Pool
from kit.vault import Keyring
from onward.executor.v1 import execution_service_pb2
from onward.registry.v1 import facts_pb2, function_service_pb2, resources_pb2
from services.registry import queries
from services.registry.domain import functions as domain
from services.registry.domain import versions
from services.registry.domain.state import State
from services.registry.domain.warnings import warnings_of
from services.registry.domain.workspaces import require_workspace
from services.registry.errors import InvalidField, SyntaxInvalid
from services.registry.handlers.changes import Change, Changes, by_state
from services.registry.handlers.outright import Outright
from services.registry.handlers.sealing import Sealer, forget
from services.registry.queries import functions as function_queries
from services.registry.templates import Template

CreateFunctionResponse = function_service_pb2.CreateFunctionResponse
SaveFunctionResponse = function_service_pb2.SaveFunctionResponse
DeployVersionResponse = function_service_pb2.DeployVersionResponse
RestoreVersionResponse = function_service_pb2.RestoreVersionResponse
UpdateFunctionResponse = function_service_pb2.UpdateFunctionResponse
DeleteFunctionResponse = function_service_pb2.DeleteFunctionResponse

# Reads code, with the names of its settings, and runs its top level. Raises Unavailable where no executor answers.
CheckCode = Callable[[str, Sequence[str]], Awaitable[execution_service_pb2.CheckCodeResponse]]

TEMPLATE_DEFAULT = "default"


class FunctionHandlers:
    """Commands on functions, their versions and deployments."""

    def __init__(
        self,
        changes: Changes,
        pool: Pool,
        keyring: Keyring,
        templates: Mapping[str, Template],
        check_code: CheckCode,
    ) -> None:
        self._changes = changes
        self._pool = pool
        self._keyring = keyring
        self._templates = templates
        self._check_code = check_code
        # An executor checks code in few places: a workspace has one at a time, so that the others find theirs.
        self._checks = Turns()

    async def create_function(
        self, request: function_service_pb2.CreateFunctionRequest, workspace: str
    ) -> CreateFunctionResponse:
        """A function whose first version is a template's code."""
        template = self._template(request.template)

        async def decide(_unit: Unit, state: State) -> list[NewFact]:
            require_workspace(state, workspace)
            return domain.decide_create_function(state, request, workspace, template)

        async def answer(connection: Connection, facts: Sequence[NewFact]) -> CreateFunctionResponse:
            function = facts[0].stream.removeprefix("functions/")
            return CreateFunctionResponse(
                function=await function_queries.get_function(connection, workspace, function),
                version=await queries.get_version(connection, workspace, function, 1),
            )

        return await self._changes.make(Change(workspace, request, CreateFunctionResponse, decide, answer))

    async def save_function(
        self, request: function_service_pb2.SaveFunctionRequest, workspace: str, function: str
    ) -> SaveFunctionResponse:
        """The next version, deployed where the request says so."""
        # Not under the workspace's lock: the executor may take its time, or be away.
        recalled = await self._changes.recall(workspace, request, SaveFunctionResponse, _stamp_saved)
        if recalled is not None:
            return recalled
        names = await self._setting_names(request, workspace, function)
        async with self._checks.turn(f"the code of workspaces/{workspace}"):
            found = await self._checked(request.code, names)
        handlers = list(found.handlers)

        async def decide(unit: Unit, state: State) -> list[NewFact]:
            sealer = await Sealer.load(unit.connection, self._keyring, workspace)
            # Of the caller as confirmed under the lock, here and below.
            sources = current_caller().sources
            facts = versions.decide_save_function(
                state, request, workspace, function, handlers, sealer.keyed_hash, sources
            )
            await sealer.store(unit.connection, state, facts, {})
            return facts

        async def answer(connection: Connection, _facts: Sequence[NewFact]) -> SaveFunctionResponse:
            return SaveFunctionResponse(
                function=await function_queries.get_function(connection, workspace, function),
                version=await queries.get_version(connection, workspace, function, None),
                warnings=warnings_of(found),
            )

        change = Change(workspace, request, SaveFunctionResponse, decide, answer)
        if not request.HasField("deploy_to"):
            change = replace(change, outright=_saved_outright(request, workspace, function, found))
        return await self._changes.make(change)

    async def deploy_version(
        self,
        request: function_service_pb2.DeployVersionRequest,
        workspace: str,
        function: str,
        number: int | None,
    ) -> DeployVersionResponse:
        """A version to destinations that exist; None means the newest."""

        async def decide(unit: Unit, state: State) -> list[NewFact]:
            sealer = await Sealer.load(unit.connection, self._keyring, workspace)
            facts = versions.decide_deploy_version(
                state, request, workspace, function, number, sealer.keyed_hash, current_caller().sources
            )
            await sealer.store(unit.connection, state, facts, {})
            return facts

        async def answer(connection: Connection, _facts: Sequence[NewFact]) -> DeployVersionResponse:
            version = await queries.get_version(connection, workspace, function, number)
            return DeployVersionResponse(version=version)

        async def decide_outright(state: State) -> list[NewFact]:
            # Where it encrypts or clears a value there is a fact about that too, so it is not made outright.
            return versions.decide_deploy_version(
                state, request, workspace, function, number, _any_hash, current_caller().sources
            )

        async def answer_outright(state: State) -> DeployVersionResponse:
            version = await queries.get_version(self._pool, workspace, function, number)
            running = (one.id for one in state.destinations_of(function) if one.version == version.number)
            del version.deployed_to[:]
            version.deployed_to.extend(domain.destination_name(workspace, one) for one in sorted(running))
            return DeployVersionResponse(version=version)

        outright = Outright(decide_outright, answer_outright)
        return await self._changes.make(
            Change(workspace, request, DeployVersionResponse, decide, answer, outright=outright)
        )

    async def restore_version(
        self,
        request: function_service_pb2.RestoreVersionRequest,
        workspace: str,
        function: str,
        number: int | None,
    ) -> RestoreVersionResponse:
        """An older version as the next one, deployed where the request says so."""

        async def decide(unit: Unit, state: State) -> list[NewFact]:
            old = domain.require_version(workspace, domain.require_function(state, workspace, function), number)
            code = await function_queries.version_code(unit.connection, workspace, function, old.number)
            sealer = await Sealer.load(unit.connection, self._keyring, workspace)
            facts = versions.decide_restore_version(
                state, request, workspace, function, number, code, sealer.keyed_hash, current_caller().sources
            )
            await sealer.store(unit.connection, state, facts, {})
            return facts

        async def answer(connection: Connection, _facts: Sequence[NewFact]) -> RestoreVersionResponse:
            return RestoreVersionResponse(
                function=await function_queries.get_function(connection, workspace, function),
                version=await queries.get_version(connection, workspace, function, None),
            )

        return await self._changes.make(Change(workspace, request, RestoreVersionResponse, decide, answer))

    async def update_function(
        self, request: function_service_pb2.UpdateFunctionRequest, workspace: str, function: str
    ) -> UpdateFunctionResponse:
        """Another name, description or labels."""

        async def decide(state: State) -> list[NewFact]:
            return domain.decide_update_function(state, request, workspace, function)

        async def answer(connection: Connection, _facts: Sequence[NewFact]) -> UpdateFunctionResponse:
            found = await function_queries.get_function(connection, workspace, function)
            return UpdateFunctionResponse(function=found)

        async def answer_outright(state: State) -> UpdateFunctionResponse:
            return UpdateFunctionResponse(function=function_queries.shown(workspace, state.functions[function]))

        outright = Outright(decide, answer_outright, _stamp_function)
        change = Change(workspace, request, UpdateFunctionResponse, by_state(decide), answer, outright=outright)
        return await self._changes.make(change)

    async def delete_function(
        self, request: function_service_pb2.DeleteFunctionRequest, workspace: str, function: str
    ) -> DeleteFunctionResponse:
        """The function's end, with what its destinations keep secret."""

        async def decide(unit: Unit, state: State) -> list[NewFact]:
            sources = current_caller().sources
            facts = domain.decide_delete_function(state, request, workspace, function, sources)
            for fact in facts:
                if isinstance(fact.data, facts_pb2.DestinationDisconnected):
                    await forget(unit.connection, workspace, fact.data.destination)
            return facts

        async def answer(connection: Connection, _facts: Sequence[NewFact]) -> DeleteFunctionResponse:
            found = await function_queries.get_function(connection, workspace, function)
            return DeleteFunctionResponse(function=found)

        return await self._changes.make(Change(workspace, request, DeleteFunctionResponse, decide, answer))

    def _template(self, name: str) -> Template:
        template = self._templates.get(name or TEMPLATE_DEFAULT)
        if template is None:
            raise InvalidField("template", f"must be one of {', '.join(sorted(self._templates))}")
        return template

    async def _setting_names(
        self, request: function_service_pb2.SaveFunctionRequest, workspace: str, function: str
    ) -> list[str]:
        if not request.keep_definitions:
            return [one.name for one in request.definitions]
        # Read before the lock is held for good, so another save may come between: warnings need no more.
        saved = (await self._changes.state(workspace)).functions.get(function)
        return [one.name for one in saved.latest.definitions] if saved else []

    async def _checked(self, code: str, setting_names: Sequence[str]) -> execution_service_pb2.CheckCodeResponse:
        """What the executor says of code that runs; raises SyntaxInvalid."""
        found = await self._check_code(code, setting_names)
        if found.HasField("error"):
            raise SyntaxInvalid(found.error.message, found.error.line, found.error.column)
        return found


def _saved_outright(
    request: function_service_pb2.SaveFunctionRequest,
    workspace: str,
    function: str,
    found: execution_service_pb2.CheckCodeResponse,
) -> Outright[SaveFunctionResponse]:
    """Of a save that deploys nothing, so that no setting is touched."""
    principal = current_caller().principal

    async def decide(state: State) -> list[NewFact]:
        return versions.decide_save_function(
            state, request, workspace, function, list(found.handlers), _no_hash, NOTHING
        )

    async def answer(state: State) -> SaveFunctionResponse:
        after = state.functions[function]
        return SaveFunctionResponse(
            function=function_queries.shown(workspace, after),
            version=function_queries.shown_version(workspace, after, request.code, principal),
            warnings=warnings_of(found),
        )

    return Outright(decide, answer, _stamp_saved)


def _any_hash(_destination: str, _name: str, _value: resources_pb2.SettingValue) -> str:
    return ""


def _no_hash(destination: str, name: str, value: resources_pb2.SettingValue) -> str:
    raise AssertionError("a save that deploys nothing changes no setting")


def _stamp_function(answer: UpdateFunctionResponse, times: Times) -> None:
    if not answer.function.HasField("update_time"):
        answer.function.create_time.FromDatetime(times.created)
        answer.function.update_time.FromDatetime(times.recorded)


def _stamp_saved(answer: SaveFunctionResponse, times: Times) -> None:
    if not answer.function.HasField("update_time"):
        answer.function.create_time.FromDatetime(times.created)
        answer.function.update_time.FromDatetime(times.recorded)
        answer.version.create_time.FromDatetime(times.recorded)
