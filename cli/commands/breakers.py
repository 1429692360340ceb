"""onward deliveries breaker"""

from __future__ import annotations

from cyclopts import App

from cli.commands.deliveries import require_known
from cli.options import DEFAULTS, Options
from cli.output import tell
from cli.session import Session
from kit.ids import uuid7
from onward.delivery.v1 import breakers_pb2 as pb
from onward.delivery.v1 import delivery_service_pb2_grpc as pb_grpc

app = App(
    name="breaker", help="Close the circuit breaker of a destination; `onward deliveries summary` tells of open ones."
)


@app.command
async def reset(destination: str, /, *, options: Options = DEFAULTS) -> None:
    """Close a destination's circuit breaker: what it holds back goes, as far as the destination can take it.

    Example: onward deliveries breaker reset alerts-web

    Parameters
    ----------
    destination
        Its id.
    """
    async with Session(options) as session:
        await require_known(session, destination)
        stub: pb_grpc.DeliveryServiceAsyncStub = pb_grpc.DeliveryServiceStub(session.as_member("delivery"))
        request = pb.ResetBreakerRequest(name=session.name("destinations", destination), request_id=uuid7())
        answer = await stub.ResetBreaker(request)
    tell(answer, f"The breaker of {destination} is closed; it opens again if nearly all fail.", as_json=options.json)
