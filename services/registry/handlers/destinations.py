"""Commands on destinations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import TypeVar

from kit.eventstore.facts import NewFact
from kit.eventstore.store import Times, Unit
from kit.postgres.pool import Connection, Pool
from kit.vault import Keyring
from onward.registry.v1 import destination_service_pb2
from services.registry import queries
from services.registry.domain import destinations as domain
from services.registry.domain.state import State
from services.registry.domain.workspaces import require_workspace
from services.registry.handlers.changes import Change, Changes, by_state
from services.registry.handlers.outright import Decide, Outright
from services.registry.handlers.repetition import Request
from services.registry.handlers.sealing import Sealer, forget
from services.registry.queries import destinations as destination_queries

ConnectDestinationResponse = destination_service_pb2.ConnectDestinationResponse
SetSettingsResponse = destination_service_pb2.SetSettingsResponse
EnableDestinationResponse = destination_service_pb2.EnableDestinationResponse
DisableDestinationResponse = destination_service_pb2.DisableDestinationResponse
UpdateDeliveryPolicyResponse = destination_service_pb2.UpdateDeliveryPolicyResponse

Q = TypeVar(
    "Q",
    destination_service_pb2.EnableDestinationRequest,
    destination_service_pb2.DisableDestinationRequest,
    destination_service_pb2.UpdateDeliveryPolicyRequest,
)
R = TypeVar(
    "R", SetSettingsResponse, EnableDestinationResponse, DisableDestinationResponse, UpdateDeliveryPolicyResponse
)


class DestinationHandlers:
    """Commands on destinations and their settings."""

    def __init__(self, changes: Changes, pool: Pool, keyring: Keyring) -> None:
        self._changes = changes
        self._pool = pool
        self._keyring = keyring

    async def connect(
        self,
        request: destination_service_pb2.ConnectDestinationRequest,
        workspace: str,
        source: str,
        function: str,
    ) -> ConnectDestinationResponse:
        """A disabled destination."""

        async def decide(unit: Unit, state: State) -> list[NewFact]:
            require_workspace(state, workspace)
            sealer = await Sealer.load(unit.connection, self._keyring, workspace)
            facts = domain.decide_connect(state, request, workspace, source, function, sealer.keyed_hash)
            await sealer.store(unit.connection, state, facts, request.settings)
            return facts

        async def answer(connection: Connection, facts: Sequence[NewFact]) -> ConnectDestinationResponse:
            destination = facts[0].stream.removeprefix("destinations/")
            found = await queries.get_destination(connection, workspace, destination)
            return ConnectDestinationResponse(destination=found)

        return await self._changes.make(Change(workspace, request, ConnectDestinationResponse, decide, answer))

    async def set_settings(
        self, request: destination_service_pb2.SetSettingsRequest, workspace: str, destination: str
    ) -> SetSettingsResponse:
        """New and removed values of settings."""

        async def decide(unit: Unit, state: State) -> list[NewFact]:
            sealer = await Sealer.load(unit.connection, self._keyring, workspace)
            facts = domain.decide_set_settings(state, request, workspace, destination, sealer.keyed_hash)
            await sealer.store(unit.connection, state, facts, request.set)
            return facts

        async def decide_outright(state: State) -> list[NewFact]:
            return domain.decide_set_plain_settings(state, request, workspace, destination)

        return await self._answered(
            request,
            workspace,
            destination,
            SetSettingsResponse,
            decide,
            decide_outright,
            [*request.set, *request.clear],
        )

    async def enable(
        self,
        request: destination_service_pb2.EnableDestinationRequest,
        workspace: str,
        destination: str,
    ) -> EnableDestinationResponse:
        """Events are given to it from now on."""
        return await self._change(request, workspace, destination, EnableDestinationResponse, domain.decide_enable)

    async def disable(
        self,
        request: destination_service_pb2.DisableDestinationRequest,
        workspace: str,
        destination: str,
    ) -> DisableDestinationResponse:
        """Events are skipped from now on."""
        return await self._change(request, workspace, destination, DisableDestinationResponse, domain.decide_disable)

    async def disconnect(
        self,
        request: destination_service_pb2.DisconnectDestinationRequest,
        workspace: str,
        destination: str,
    ) -> destination_service_pb2.DisconnectDestinationResponse:
        """The destination's end, with its ciphertexts."""

        async def decide(unit: Unit, state: State) -> list[NewFact]:
            facts = domain.decide_disconnect(state, request, workspace, destination)
            await forget(unit.connection, workspace, destination)
            return facts

        async def answer(
            _connection: Connection, _facts: Sequence[NewFact]
        ) -> destination_service_pb2.DisconnectDestinationResponse:
            return destination_service_pb2.DisconnectDestinationResponse()

        response = destination_service_pb2.DisconnectDestinationResponse
        return await self._changes.make(Change(workspace, request, response, decide, answer))

    async def update_policy(
        self,
        request: destination_service_pb2.UpdateDeliveryPolicyRequest,
        workspace: str,
        destination: str,
    ) -> UpdateDeliveryPolicyResponse:
        """Another policy, from the next attempt on."""
        response = UpdateDeliveryPolicyResponse
        return await self._change(request, workspace, destination, response, domain.decide_update_policy)

    async def _change(
        self,
        request: Q,
        workspace: str,
        destination: str,
        response: type[R],
        decide_by: Callable[[State, Q, str, str], list[NewFact]],
    ) -> R:
        """A change of switches and policies, which no setting is touched by."""

        async def decide(state: State) -> list[NewFact]:
            return decide_by(state, request, workspace, destination)

        return await self._answered(request, workspace, destination, response, by_state(decide), decide)

    async def _answered(
        self,
        request: Request,
        workspace: str,
        destination: str,
        response: type[R],
        decide: Callable[[Unit, State], Awaitable[list[NewFact]]],
        decide_outright: Decide,
        changed: Collection[str] = (),
    ) -> R:
        """A change that is answered by the destination; `changed` are the settings that it concerns."""

        async def answer(connection: Connection, _facts: Sequence[NewFact]) -> R:
            return response(destination=await queries.get_destination(connection, workspace, destination))

        async def answer_outright(state: State) -> R:
            after = state.destinations[destination]
            kept: dict[str, datetime] = {}
            if set(after.settings) - set(changed):
                kept = await destination_queries.setting_times(self._pool, workspace, destination, changed)
            return response(destination=destination_queries.shown(workspace, state, after, kept))

        outright = Outright(decide_outright, answer_outright, _stamp)
        return await self._changes.make(Change(workspace, request, response, decide, answer, outright=outright))


def _stamp(
    answer: SetSettingsResponse | EnableDestinationResponse | DisableDestinationResponse | UpdateDeliveryPolicyResponse,
    times: Times,
) -> None:
    found = answer.destination
    if found.HasField("update_time"):
        return
    found.create_time.FromDatetime(times.created)
    found.update_time.FromDatetime(times.recorded)
    for setting in found.settings:
        if setting.set and not setting.HasField("update_time"):
            setting.update_time.FromDatetime(times.recorded)
