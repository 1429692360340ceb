"""onward.registry.v1.InternalService."""

# gRPC names methods as the protos do.

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC
from typing import Any

from kit.auth.authorizer import Authorizer
from kit.auth.caller import current_caller
from kit.auth.demand import Demand, Subset
from kit.auth.denials import (
    METHOD_LENGTH_MAX,
    PRINCIPAL_LENGTH_MAX,
    REASON_LENGTH_MAX,
    RESOURCE_LENGTH_MAX,
    Refusal,
    told,
)
from kit.auth.registry import PRINCIPAL_KEY
from kit.auth.tokens import TOKEN_LENGTH_MAX
from kit.errors import OnwardError
from kit.eventstore.owner_log import answer_facts
from kit.eventstore.store import EventStore
from kit.postgres.pool import Pool
from kit.rpc import names
from onward.registry.v1 import internal_service_pb2 as pb
from onward.registry.v1 import internal_service_pb2_grpc
from services.registry import queries
from services.registry.handlers.clients import read_clients
from services.registry.handlers.deployments import note_report
from services.registry.handlers.invocations import Invocations

SERVICE = "registry"
# Revoked rights end everywhere within this time.
LEASE_MS = 1000


# Records what the service of that name has refused.
RecordRefusals = Callable[[str, Sequence[Refusal]], Awaitable[None]]


class InternalServicer(internal_service_pb2_grpc.InternalServiceServicer):
    """See the proto."""

    def __init__(
        self,
        pool: Pool,
        store: EventStore,
        authorizer: Authorizer,
        record: RecordRefusals,
        invocations: Invocations,
    ) -> None:
        self._pool = pool
        self._store = store
        self._authorizer = authorizer
        self._record = record
        self._invocations = invocations

    async def ReadFacts(self, request: pb.ReadFactsRequest, context: Any) -> pb.ReadFactsResponse:
        return pb.ReadFactsResponse(read=await answer_facts(SERVICE, self._store, request.read))

    async def ResolveDestination(
        self, request: pb.ResolveDestinationRequest, context: Any
    ) -> pb.ResolveDestinationResponse:
        workspace, destination = names.DESTINATION.parse(request.name)
        async with self._pool.transaction() as connection:
            return await queries.resolve_destination(connection, workspace, destination)

    async def ReadVersion(self, request: pb.ReadVersionRequest, context: Any) -> pb.ReadVersionResponse:
        workspace, function = names.FUNCTION.parse(request.name)
        found = await queries.get_live_version(self._pool, workspace, function, request.number or None)
        return pb.ReadVersionResponse(version=found)

    async def ReadSourceFilters(
        self, request: pb.ReadSourceFiltersRequest, context: Any
    ) -> pb.ReadSourceFiltersResponse:
        workspace, source = names.SOURCE.parse(request.name)
        async with self._pool.transaction() as connection:
            return await queries.source_filters(connection, workspace, source)

    async def Authorize(self, request: pb.AuthorizeRequest, context: Any) -> pb.AuthorizeResponse:
        also = tuple((one.permission, one.resource) for one in request.also)
        demand = Demand(request.permission, request.resource, also, request.partial)
        try:
            caller = await self._authorizer.authorize(request.token, demand)
        except OnwardError as error:
            if error.principal:
                error.metadata[PRINCIPAL_KEY] = error.principal
            raise
        return pb.AuthorizeResponse(
            principal=caller.principal,
            lease_ms=LEASE_MS,
            credential=caller.credential,
            functions=_subset(caller.functions),
            sources=_subset(caller.sources),
        )

    async def ReportExecutor(self, request: pb.ReportExecutorRequest, context: Any) -> pb.ReportExecutorResponse:
        return await note_report(self._pool, request)

    async def RecordInvocation(self, request: pb.RecordInvocationRequest, context: Any) -> pb.RecordInvocationResponse:
        return pb.RecordInvocationResponse(position=await self._invocations.record(request))

    async def ReadClients(self, request: pb.ReadClientsRequest, context: Any) -> pb.ReadClientsResponse:
        found = await read_clients(self._pool, request.workspace, request.positions)
        return pb.ReadClientsResponse(clients=found)

    async def RecordDenial(self, request: pb.RecordDenialRequest, context: Any) -> pb.RecordDenialResponse:
        service = current_caller().principal.removeprefix("service:")
        await self._record(service, [_refusal(denial) for denial in request.denials])
        return pb.RecordDenialResponse()


def _refusal(denial: pb.Denial) -> Refusal:
    return Refusal(
        method=told(denial.method, METHOD_LENGTH_MAX),
        resource=told(denial.resource, RESOURCE_LENGTH_MAX),
        permission=denial.permission,
        reason=told(denial.reason, REASON_LENGTH_MAX),
        token_id=told(denial.token_id, TOKEN_LENGTH_MAX),
        count=max(1, denial.count),
        first_time=denial.first_time.ToDatetime(UTC),
        last_time=denial.last_time.ToDatetime(UTC),
        principal=told(denial.principal, PRINCIPAL_LENGTH_MAX),
        client_address=denial.client_address,
        user_agent=denial.user_agent,
    )


def _subset(subset: Subset) -> pb.Subset:
    return pb.Subset(all=subset.all, ids=sorted(subset.ids))
