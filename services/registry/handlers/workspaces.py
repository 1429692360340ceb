"""Commands on workspaces."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from itertools import islice

from kit.auth.caller import current_caller
from kit.auth.tokens import format_token, hash_secret
from kit.errors import Conflict, RequestIdReused
from kit.eventstore.facts import NewFact
from kit.eventstore.store import Unit
from kit.ids import Ids
from kit.postgres.pool import Connection, Pool
from onward.registry.v1 import operator_service_pb2, workspace_service_pb2
from services.registry import queries
from services.registry.domain import workspaces as domain
from services.registry.domain.ids import choices
from services.registry.domain.state import State
from services.registry.errors import IdTaken
from services.registry.handlers.changes import Change, Changes

CreateWorkspaceRequest = workspace_service_pb2.CreateWorkspaceRequest
CreateWorkspaceResponse = workspace_service_pb2.CreateWorkspaceResponse

# Waits, bounded and without raising, until a workspace's stream of events is there.
Provisioned = Callable[[str], Awaitable[None]]

# Each taken id costs a transaction; who has so many workspaces of one name gives ids himself.
WORKSPACE_CHOICES_MAX = 100


class WorkspaceHandlers:
    """The operator's commands."""

    def __init__(self, changes: Changes, pool: Pool, ids: Ids, provisioned: Provisioned) -> None:
        self._changes = changes
        self._pool = pool
        self._ids = ids
        self._provisioned = provisioned

    async def create_workspace(self, request: CreateWorkspaceRequest) -> CreateWorkspaceResponse:
        """A workspace with its owner's token, which only the first answer holds."""
        response = await self._create_chosen(request)
        await self._provisioned(response.workspace.name.removeprefix("workspaces/"))
        return response

    async def _create_chosen(self, request: CreateWorkspaceRequest) -> CreateWorkspaceResponse:
        """With the id that the request names, or the first free one that resembles the display name."""
        made = await self._made_before(request)
        if made or request.workspace_id:
            return await self._create(request, made or request.workspace_id)
        for choice in islice(choices(request.display_name, "workspace"), WORKSPACE_CHOICES_MAX):
            try:
                return await self._create(request, choice)
            except IdTaken as error:
                taken = error
        raise taken

    async def _made_before(self, request: CreateWorkspaceRequest) -> str | None:
        """The workspace that this very request made; raises RequestIdReused for another request of that id."""
        if not request.request_id:
            return None
        row = await self._pool.fetchrow(
            queries.queries.workspace_request, current_caller().principal, request.request_id
        )
        if row is None:
            return None
        if not self._changes.hashes.is_of(row["request_hash"], request):
            raise RequestIdReused(
                "This request_id was used for another request; choose a new one.",
                metadata={"request_id": request.request_id},
            )
        made: str = row["workspace"]
        return made

    async def _create(self, request: CreateWorkspaceRequest, workspace: str) -> CreateWorkspaceResponse:
        token, secret = self._ids.token_id(), self._ids.token_secret()

        async def decide(unit: Unit, state: State) -> list[NewFact]:
            facts = domain.decide_create_workspace(state, request, workspace, token)
            await self._claim_request(unit, request)
            await unit.connection.execute(queries.queries.insert_token_secret, token, workspace, hash_secret(secret))
            return facts

        async def answer(connection: Connection, _facts: Sequence[NewFact]) -> CreateWorkspaceResponse:
            return CreateWorkspaceResponse(
                workspace=await queries.get_workspace(connection, workspace),
                owner_token=format_token(token, secret),
            )

        return await self._changes.make(
            Change(workspace, request, CreateWorkspaceResponse, decide, answer, secrets=("owner_token",))
        )

    async def _claim_request(self, unit: Unit, request: CreateWorkspaceRequest) -> None:
        if not request.request_id:
            return
        claimed = await unit.connection.fetchval(
            queries.queries.insert_workspace_request,
            current_caller().principal,
            request.request_id,
            self._changes.hashes.current(request),
            unit.workspace,
        )
        if not claimed:
            raise Conflict("The same request_id is being handled already; repeat the request.")

    async def update_workspace(
        self, request: workspace_service_pb2.UpdateWorkspaceRequest, workspace: str
    ) -> workspace_service_pb2.UpdateWorkspaceResponse:
        """Another name or policy; the policy holds from the next call on."""

        async def decide(_unit: Unit, state: State) -> list[NewFact]:
            return domain.decide_update_workspace(state, request, workspace)

        async def answer(
            connection: Connection, _facts: Sequence[NewFact]
        ) -> workspace_service_pb2.UpdateWorkspaceResponse:
            found = await queries.get_workspace(connection, workspace)
            return workspace_service_pb2.UpdateWorkspaceResponse(workspace=found)

        response = workspace_service_pb2.UpdateWorkspaceResponse
        return await self._changes.make(Change(workspace, request, response, decide, answer))

    async def set_limits(
        self, request: operator_service_pb2.SetLimitsRequest, workspace: str
    ) -> operator_service_pb2.SetLimitsResponse:
        """Other limits, from the next command on."""

        async def decide(_unit: Unit, state: State) -> list[NewFact]:
            domain.require_workspace(state, workspace)
            return domain.decide_set_limits(state, request)

        async def answer(connection: Connection, _facts: Sequence[NewFact]) -> operator_service_pb2.SetLimitsResponse:
            found = await queries.get_workspace(connection, workspace)
            return operator_service_pb2.SetLimitsResponse(workspace=found)

        response = operator_service_pb2.SetLimitsResponse
        return await self._changes.make(Change(workspace, request, response, decide, answer))

    async def allow_egress_range(
        self, request: operator_service_pb2.AllowEgressRangeRequest, workspace: str
    ) -> operator_service_pb2.AllowEgressRangeResponse:
        """One more range that the workspace's functions may call."""

        async def decide(_unit: Unit, state: State) -> list[NewFact]:
            domain.require_workspace(state, workspace)
            return domain.decide_allow_egress_range(state, request)

        async def answer(
            connection: Connection, _facts: Sequence[NewFact]
        ) -> operator_service_pb2.AllowEgressRangeResponse:
            found = await queries.get_workspace(connection, workspace)
            return operator_service_pb2.AllowEgressRangeResponse(workspace=found)

        response = operator_service_pb2.AllowEgressRangeResponse
        return await self._changes.make(Change(workspace, request, response, decide, answer))

    async def disallow_egress_range(
        self, request: operator_service_pb2.DisallowEgressRangeRequest, workspace: str
    ) -> operator_service_pb2.DisallowEgressRangeResponse:
        """One range less that the workspace's functions may call."""

        async def decide(_unit: Unit, state: State) -> list[NewFact]:
            domain.require_workspace(state, workspace)
            return domain.decide_disallow_egress_range(state, request)

        async def answer(
            connection: Connection, _facts: Sequence[NewFact]
        ) -> operator_service_pb2.DisallowEgressRangeResponse:
            found = await queries.get_workspace(connection, workspace)
            return operator_service_pb2.DisallowEgressRangeResponse(workspace=found)

        response = operator_service_pb2.DisallowEgressRangeResponse
        return await self._changes.make(Change(workspace, request, response, decide, answer))
