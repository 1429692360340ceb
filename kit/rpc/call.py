"""What is known about the RPC that the current task serves."""

import re
from contextvars import ContextVar
from dataclasses import dataclass

import grpc.aio

from kit.errors import Internal
from kit.ids import Ids
from kit.rpc.identity import service_of

REQUEST_ID_KEY = "x-request-id"
TRACEPARENT_KEY = "traceparent"
AUTHORIZATION_KEY = "authorization"
SERVICE_KEY = "x-onward-service"

# It is written to every log line of the call, so it must stay one short word.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
# Enough to tell clients apart; what a caller says about itself is not verified.
USER_AGENT_LENGTH_MAX = 256


@dataclass(frozen=True, slots=True)
class Call:
    """One RPC. `request_id` is the transport's (`x-request-id`), not a mutation's `request_id` field."""

    method: str
    request_id: str
    client_address: str
    user_agent: str
    # As presented; the authorization layer alone reads it.
    token: str
    # The service that calls: by its certificate, None without one. Without TLS it is what the caller says. It counts
    # beside the service token only.
    service: str | None
    traceparent: str

    def __repr__(self) -> str:
        return f"Call({self.method}, request_id={self.request_id})"


_current: ContextVar[Call] = ContextVar("call")


def current_call() -> Call:
    """The RPC that this task serves."""
    try:
        return _current.get()
    except LookupError:
        raise Internal("No RPC is being served here.") from None


def served_call() -> Call | None:
    """As `current_call`; None where no RPC is being served, as in work of the service's own."""
    return _current.get(None)


def set_call(call: Call) -> None:
    """Done once per RPC, by the server (and by tests)."""
    _current.set(call)


def read_call(method: str, context: "grpc.aio.ServicerContext[object, object]", ids: Ids) -> Call:
    """Gather what metadata and connection say."""
    said = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
    request_id = said.get(REQUEST_ID_KEY, "")
    return Call(
        method=method,
        request_id=request_id if _REQUEST_ID.fullmatch(request_id) else ids.uuid7(),
        client_address=_address(context.peer() or ""),
        user_agent=said.get("user-agent", "")[:USER_AGENT_LENGTH_MAX],
        token=_bearer(said.get(AUTHORIZATION_KEY, "")),
        service=_service(context, said.get(SERVICE_KEY, "")),
        traceparent=said.get(TRACEPARENT_KEY, ""),
    )


def _bearer(header: str) -> str:
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _service(context: "grpc.aio.ServicerContext[object, object]", claimed: str) -> str | None:
    connection = context.auth_context()
    # Known to be plaintext, which happens on the loopback only; of anything else the certificate decides.
    if list(connection.get("transport_security_type", ())) == [b"insecure"]:
        return claimed
    return service_of(name.decode(errors="replace") for name in connection.get("peer_dns", ()))


def _address(peer: str) -> str:
    """`ipv4:127.0.0.1:5000` without scheme and port; they tell nothing about who called."""
    scheme, _, rest = peer.partition(":")
    if scheme not in ("ipv4", "ipv6"):
        return peer
    return rest.rpartition(":")[0].strip("[]").replace("%5B", "").replace("%5D", "")
