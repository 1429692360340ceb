"""Commands on destinations."""

from __future__ import annotations

from collections.abc import Sequence

from kit.eventstore.facts import NewFact
from kit.eventstore.store import Unit
from kit.postgres.pool import Connection
from kit.vault import Keyring
from onward.registry.v1 import destination_service_pb2
from services.registry import queries
from services.registry.domain import destinations as domain
from services.registry.domain.state import State
from services.registry.domain.workspaces import require_workspace
from services.registry.handlers.changes import Change, Changes
from services.registry.handlers.sealing import Sealer, forget

ConnectDestinationResponse = destination_service_pb2.ConnectDestinationResponse
SetSettingsResponse = destination_service_pb2.SetSettingsResponse
EnableDestinationResponse = destination_service_pb2.EnableDestinationResponse
DisableDestinationResponse = destination_service_pb2.DisableDestinationResponse


class DestinationHandlers:
    """Commands on destinations and their settings."""

    def __init__(self, changes: Changes, keyring: Keyring) -> None:
        self._changes = changes
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

        async def answer(connection: Connection, _facts: Sequence[NewFact]) -> SetSettingsResponse:
            found = await queries.get_destination(connection, workspace, destination)
            return SetSettingsResponse(destination=found)

        return await self._changes.make(Change(workspace, request, SetSettingsResponse, decide, answer))

    async def enable(
        self,
        request: destination_service_pb2.EnableDestinationRequest,
        workspace: str,
        destination: str,
    ) -> EnableDestinationResponse:
        """Events are given to it from now on."""

        async def decide(_unit: Unit, state: State) -> list[NewFact]:
            return domain.decide_enable(state, request, workspace, destination)

        async def answer(connection: Connection, _facts: Sequence[NewFact]) -> EnableDestinationResponse:
            found = await queries.get_destination(connection, workspace, destination)
            return EnableDestinationResponse(destination=found)

        return await self._changes.make(Change(workspace, request, EnableDestinationResponse, decide, answer))

    async def disable(
        self,
        request: destination_service_pb2.DisableDestinationRequest,
        workspace: str,
        destination: str,
    ) -> DisableDestinationResponse:
        """Events are skipped from now on."""

        async def decide(_unit: Unit, state: State) -> list[NewFact]:
            return domain.decide_disable(state, request, workspace, destination)

        async def answer(connection: Connection, _facts: Sequence[NewFact]) -> DisableDestinationResponse:
            found = await queries.get_destination(connection, workspace, destination)
            return DisableDestinationResponse(destination=found)

        return await self._changes.make(Change(workspace, request, DisableDestinationResponse, decide, answer))

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
    ) -> destination_service_pb2.UpdateDeliveryPolicyResponse:
        """Another policy, from the next attempt on."""

        async def decide(_unit: Unit, state: State) -> list[NewFact]:
            return domain.decide_update_policy(state, request, workspace, destination)

        async def answer(
            connection: Connection, _facts: Sequence[NewFact]
        ) -> destination_service_pb2.UpdateDeliveryPolicyResponse:
            found = await queries.get_destination(connection, workspace, destination)
            return destination_service_pb2.UpdateDeliveryPolicyResponse(destination=found)

        response = destination_service_pb2.UpdateDeliveryPolicyResponse
        return await self._changes.make(Change(workspace, request, response, decide, answer))
