"""onward.registry.v1.DestinationService."""

# gRPC names methods as the protos do.

from __future__ import annotations

from typing import Any

from kit.auth.caller import current_caller
from kit.rpc import names
from kit.rpc.methods import confirms_caller
from onward.registry.v1 import destination_service_pb2 as pb
from onward.registry.v1 import resources_pb2
from services.registry import queries
from services.registry.domain.visibility import told_destination
from services.registry.errors import Missing
from services.registry.handlers.destinations import DestinationHandlers
from services.registry.handlers.filters import FilterHandlers
from services.registry.rpc.filters import FilterServicer
from services.registry.rpc.reading import Reading, last_id


class DestinationServicer(FilterServicer):
    """See the proto."""

    def __init__(self, handlers: DestinationHandlers, filters: FilterHandlers, reading: Reading) -> None:
        self._handlers = handlers
        self._filters = filters
        self._reading = reading

    async def ConnectDestination(
        self, request: pb.ConnectDestinationRequest, context: Any
    ) -> pb.ConnectDestinationResponse:
        workspace, source = names.SOURCE.parse(request.source, "source")
        home, function = names.FUNCTION.parse(request.function, "function")
        if home != workspace:
            # Nobody learns what another workspace has.
            raise Missing(request.function)
        return await self._handlers.connect(request, workspace, source, function)

    async def GetDestination(self, request: pb.GetDestinationRequest, context: Any) -> pb.GetDestinationResponse:
        workspace, destination = names.DESTINATION.parse(request.name)
        await self._reading.wait_for(workspace, request.at_least_position)
        found = await queries.get_destination(self._reading.pool, workspace, destination)
        caller = current_caller()
        return pb.GetDestinationResponse(destination=told_destination(found, caller.sources, caller.functions))

    async def ListDestinations(self, request: pb.ListDestinationsRequest, context: Any) -> pb.ListDestinationsResponse:
        (workspace,) = names.WORKSPACE.parse(request.parent, "parent")
        caller = current_caller()

        async def read(after: str, limit: int) -> list[resources_pb2.Destination]:
            return await queries.list_destinations(
                self._reading.pool, workspace, after, limit, caller.functions, caller.sources
            )

        page, following = await self._reading.page(
            ("destinations", workspace), request.page_size, request.page_token, read, lambda one: last_id(one.name)
        )
        destinations = [told_destination(one, caller.sources, caller.functions) for one in page]
        return pb.ListDestinationsResponse(destinations=destinations, next_page_token=following)

    @confirms_caller
    async def SetSettings(self, request: pb.SetSettingsRequest, context: Any) -> pb.SetSettingsResponse:
        return await self._handlers.set_settings(request, *names.DESTINATION.parse(request.name))

    @confirms_caller
    async def EnableDestination(
        self, request: pb.EnableDestinationRequest, context: Any
    ) -> pb.EnableDestinationResponse:
        return await self._handlers.enable(request, *names.DESTINATION.parse(request.name))

    @confirms_caller
    async def DisableDestination(
        self, request: pb.DisableDestinationRequest, context: Any
    ) -> pb.DisableDestinationResponse:
        return await self._handlers.disable(request, *names.DESTINATION.parse(request.name))

    async def DisconnectDestination(
        self, request: pb.DisconnectDestinationRequest, context: Any
    ) -> pb.DisconnectDestinationResponse:
        return await self._handlers.disconnect(request, *names.DESTINATION.parse(request.name))

    @confirms_caller
    async def UpdateDeliveryPolicy(
        self, request: pb.UpdateDeliveryPolicyRequest, context: Any
    ) -> pb.UpdateDeliveryPolicyResponse:
        return await self._handlers.update_policy(request, *names.DESTINATION.parse(request.name))
