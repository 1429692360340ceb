"""The registry's event log, as the other services read it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kit.eventstore import envelope
from kit.eventstore.facts import Fact
from onward.common.v1 import facts_pb2
from onward.registry.v1 import internal_service_pb2, internal_service_pb2_grpc

if TYPE_CHECKING:
    import grpc.aio


class RegistryLog:
    """Reads over a channel of `kit.rpc.client.open_channel` with the service token. Raises `OnwardError`s."""

    def __init__(self, channel: "grpc.aio.Channel") -> None:
        self._stub: internal_service_pb2_grpc.InternalServiceAsyncStub = internal_service_pb2_grpc.InternalServiceStub(
            channel
        )

    async def heads(self) -> Mapping[str, int]:
        """The last position of each workspace."""
        return (await self.read(facts_pb2.ReadFactsRequest())).heads

    async def read_facts(self, service: str, workspace: str, after_position: int, limit: int) -> Sequence[Fact]:
        """See kit.eventstore.consumer.ReadFacts."""
        request = facts_pb2.ReadFactsRequest(workspace=workspace, after_position=after_position, limit=limit)
        return [envelope.from_stored(stored).fact for stored in (await self.read(request)).facts]

    async def read(self, request: facts_pb2.ReadFactsRequest) -> facts_pb2.ReadFactsResponse:
        """The registry's answer as it is."""
        return (await self._stub.ReadFacts(internal_service_pb2.ReadFactsRequest(read=request))).read
