"""How the other services ask the registry."""

from typing import TYPE_CHECKING, cast

from kit.auth.authorizer import Ask, Grant
from onward.common.v1 import access_pb2
from onward.registry.v1 import internal_service_pb2 as pb
from onward.registry.v1 import internal_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    import grpc.aio

# Refusing late is worse than refusing: the caller waits for this before anything else happens.
AUTHORIZE_TIMEOUT_S = 2.0


def registry_ask(channel: "grpc.aio.Channel") -> Ask:
    """For `RegistryAuthorizer`: asks over a channel of `kit.rpc.client.open_channel` with the service token."""
    stub: pb_grpc.InternalServiceAsyncStub = pb_grpc.InternalServiceStub(channel)

    async def ask(token: str, permission: int, resource: str) -> Grant:
        wanted = cast("access_pb2.Permission.ValueType", permission)
        request = pb.AuthorizeRequest(token=token, permission=wanted, resource=resource)
        answer = await stub.Authorize(request, timeout=AUTHORIZE_TIMEOUT_S)
        return Grant(answer.principal, answer.lease_ms / 1000)

    return ask
