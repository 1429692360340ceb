"""How the other services ask the registry."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from kit.auth.authorizer import Ask, Grant
from kit.auth.demand import Demand, Subset
from kit.auth.denials import Refusal, Sink
from kit.errors import OnwardError
from onward.common.v1 import access_pb2
from onward.registry.v1 import internal_service_pb2 as pb
from onward.registry.v1 import internal_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    import grpc.aio

# Refusing late is worse than refusing: the caller waits for this before anything else happens.
AUTHORIZE_TIMEOUT_S = 2.0
# Nobody waits for it; a batch is some hundred inserts.
RECORD_TIMEOUT_S = 5.0
# Under this name the registry tells a service who was refused, where that was proven.
PRINCIPAL_KEY = "principal"


def registry_ask(channel: "grpc.aio.Channel") -> Ask:
    """For `RegistryAuthorizer`: asks over a channel of `kit.rpc.client.open_channel` with the service token."""
    stub: pb_grpc.InternalServiceAsyncStub = pb_grpc.InternalServiceStub(channel)

    async def ask(token: str, demand: Demand) -> Grant:
        request = pb.AuthorizeRequest(
            token=token,
            permission=_permission(demand.permission),
            resource=demand.resource,
            also=[pb.RequiredAccess(permission=_permission(one), resource=name) for one, name in demand.also],
            partial=demand.partial,
        )
        try:
            answer = await stub.Authorize(request, timeout=AUTHORIZE_TIMEOUT_S)
        except OnwardError as error:
            # For our record of the refusal, and not for the caller whom the error goes to.
            error.principal = error.metadata.pop(PRINCIPAL_KEY, "")
            raise
        return Grant(
            answer.principal,
            answer.lease_ms / 1000,
            answer.credential,
            _subset(answer.functions),
            _subset(answer.sources),
        )

    return ask


def registry_denials(channel: "grpc.aio.Channel") -> Sink:
    """For `DenialLog`: hands refusals to the registry, over the same channel."""
    stub: pb_grpc.InternalServiceAsyncStub = pb_grpc.InternalServiceStub(channel)

    async def record(refusals: Sequence[Refusal]) -> None:
        request = pb.RecordDenialRequest(denials=[_denial(one) for one in refusals])
        await stub.RecordDenial(request, timeout=RECORD_TIMEOUT_S)

    return record


def _denial(refusal: Refusal) -> pb.Denial:
    denial = pb.Denial(
        method=refusal.method,
        resource=refusal.resource,
        permission=_permission(refusal.permission),
        reason=refusal.reason,
        token_id=refusal.token_id,
        count=refusal.count,
        client_address=refusal.client_address,
        user_agent=refusal.user_agent,
        principal=refusal.principal,
    )
    denial.first_time.FromDatetime(refusal.first_time)
    denial.last_time.FromDatetime(refusal.last_time)
    return denial


def _permission(number: int) -> "access_pb2.Permission.ValueType":
    return cast("access_pb2.Permission.ValueType", number)


def _subset(subset: pb.Subset) -> Subset:
    return Subset(subset.all, frozenset(subset.ids))
