"""A delivery tracker that has nothing but a log, for services that follow it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from kit.auth.caller import Caller
from kit.auth.demand import Demand
from kit.auth.gate import Gate
from kit.errors import InvalidToken
from kit.eventstore.memory import MemoryEventStore
from kit.eventstore.owner_log import answer_facts
from kit.rpc.server import RpcServer
from onward.delivery.v1 import internal_service_pb2 as pb
from onward.delivery.v1.internal_service_pb2_grpc import InternalServiceServicer, add_InternalServiceServicer_to_server


class TrackerLog(InternalServiceServicer):
    """Answers ReadFacts from memory."""

    def __init__(self) -> None:
        self.store = MemoryEventStore()
        self.address = ""

    async def ReadFacts(self, request: pb.ReadFactsRequest, context: Any) -> pb.ReadFactsResponse:  # noqa: N802
        return pb.ReadFactsResponse(read=await answer_facts("delivery", self.store, request.read))


class _Nobody:
    async def authorize(self, token: str, demand: Demand) -> Caller:
        raise InvalidToken("Only services ask here.")


@asynccontextmanager
async def a_tracker_log(service_token: str) -> AsyncIterator[TrackerLog]:
    """The log, listening on its `address`."""
    log = TrackerLog()  # type: ignore[abstract]  # answers what followers ask
    gate = Gate(_Nobody(), service_token)
    server = RpcServer("127.0.0.1:0", [(add_InternalServiceServicer_to_server, log)], gate)
    await server.start()
    log.address = server.address
    try:
        yield log
    finally:
        await server.stop(0)
