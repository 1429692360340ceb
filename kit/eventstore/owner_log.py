"""The event log of the service that owns it, as it answers and the other services read it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from kit.eventstore import envelope
from kit.eventstore.facts import Fact
from kit.eventstore.store import EventStore
from onward.common.v1.facts_pb2 import ReadFactsRequest, ReadFactsResponse
from onward.delivery.v1 import internal_service_pb2 as delivery_pb
from onward.delivery.v1 import internal_service_pb2_grpc as delivery_rpc
from onward.registry.v1 import internal_service_pb2 as registry_pb
from onward.registry.v1 import internal_service_pb2_grpc as registry_rpc

if TYPE_CHECKING:
    import grpc.aio

# Facts of one answer where the question does not say.
FACTS_DEFAULT = 500
# Asks the owner. Raises `OnwardError`s.
Ask: TypeAlias = Callable[[ReadFactsRequest], Awaitable[ReadFactsResponse]]


class OwnerLog:
    """Reads one service's log. Raises `OnwardError`s."""

    def __init__(self, service: str, ask: Ask) -> None:
        self.service = service
        # The owner's answer as it is.
        self.read = ask

    async def heads(self) -> Mapping[str, int]:
        """The last position of each workspace."""
        return (await self.read(ReadFactsRequest())).heads

    async def read_facts(self, service: str, workspace: str, after_position: int, limit: int) -> Sequence[Fact]:
        """See kit.eventstore.consumer.ReadFacts."""
        request = ReadFactsRequest(workspace=workspace, after_position=after_position, limit=limit)
        return [envelope.from_stored(stored).fact for stored in (await self.read(request)).facts]


def registry_log(channel: grpc.aio.Channel) -> OwnerLog:
    """The registry's, over a channel of `kit.rpc.client.open_channel` with the service token."""
    stub: registry_rpc.InternalServiceAsyncStub = registry_rpc.InternalServiceStub(channel)

    async def ask(request: ReadFactsRequest) -> ReadFactsResponse:
        return (await stub.ReadFacts(registry_pb.ReadFactsRequest(read=request))).read

    return OwnerLog("registry", ask)


def delivery_log(channel: grpc.aio.Channel) -> OwnerLog:
    """The same of the delivery tracker."""
    stub: delivery_rpc.InternalServiceAsyncStub = delivery_rpc.InternalServiceStub(channel)

    async def ask(request: ReadFactsRequest) -> ReadFactsResponse:
        return (await stub.ReadFacts(delivery_pb.ReadFactsRequest(read=request))).read

    return OwnerLog("delivery", ask)


async def answer_facts(service: str, store: EventStore, asked: ReadFactsRequest) -> ReadFactsResponse:
    """What the owner answers."""
    if not asked.workspace:
        return ReadFactsResponse(heads=dict(await store.workspaces()))
    found = await store.read(asked.workspace, asked.after_position, asked.limit or FACTS_DEFAULT)
    return ReadFactsResponse(facts=[envelope.to_stored(service, fact) for fact in found])
