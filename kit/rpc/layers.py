"""What goes around every RPC. Their order, outermost first, and why:

1. telemetry: sees every call, refused ones too; all lines logged below it carry its trace.
2. request id: known before anything can fail, so that every answer and every log line has it.
3. errors: below it anything may be raised, above it there are only gRPC statuses.
4. deadline: everything that takes time is inside it; its end is answered like any other error.
5. capacity: refuses before work is done. (A workspace's share is checked after authorization, which names it.)
6. authorization: strangers learn nothing, not even whether their request was well-formed.
7. validation: the handler sees only requests that keep the protos' rules.

They are wrapped around each method once, at the start: gRPC's own interceptors are looked up for each call anew.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
import structlog
from opentelemetry import metrics
from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

from kit import telemetry
from kit.auth.demand import Demand
from kit.auth.denials import DenialLog
from kit.errors import DeadlineExceeded, Internal, InvalidToken, NotFound, OnwardError, PermissionDenied, Unavailable
from kit.rpc.call import REQUEST_ID_KEY, Call, set_call
from kit.rpc.limits import Limits
from kit.rpc.status import DETAILS_KEY, to_status
from onward.common.v1 import access_pb2

log = structlog.get_logger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]

_durations = metrics.get_meter("onward").create_histogram(
    "rpc.server.call.duration", unit="s", description="Time that calls took, by method and status; its count is theirs."
)


@dataclass(eq=False, slots=True)
class Turn:
    """One call while it runs."""

    call: Call
    streams: bool
    code: str = "OK"
    timeout: asyncio.Timeout | None = None
    # When it last made progress, for streams that a drain has to end.
    progressed_at: float = field(default_factory=time.monotonic)
    cut: bool = False
    # What its caller needs, as far as that is known, and whether it has that.
    demand: Demand | None = None
    admitted: bool = False
    # Whether that was so a moment ago, and is found out again together with the effect.
    provisional: bool = False
    # Who that is, once it is admitted.
    principal: str = ""
    # Why it is ended before its time, if it is.
    refusal: Exception | None = None

    def progress(self) -> None:
        """Note that something was sent."""
        self.progressed_at = time.monotonic()

    def cut_off(self) -> None:
        """End it now, since the server drains, or for `refuse`'s reason."""
        if self.timeout is not None and not self.cut:
            self.cut = True
            self.timeout.reschedule(0)

    def refuse(self, error: Exception) -> None:
        """End it now, with this error."""
        if not self.cut:
            self.refusal = error
        self.cut_off()


@contextmanager
def traced(turn: Turn) -> Iterator[None]:
    """Layer 1: a span and a duration."""
    method = turn.call.method.lstrip("/")
    began = time.perf_counter()
    attributes: dict[str, AttributeValue] = {"rpc.system": "grpc", "rpc.method": method}
    with telemetry.span(method, parent=turn.call.traceparent, kind=SpanKind.SERVER, attributes=attributes) as span:
        try:
            yield
        finally:
            span.set_attribute("rpc.response.status_code", turn.code)
            labels = {"rpc.method": method, "rpc.response.status_code": turn.code}
            _durations.record(time.perf_counter() - began, labels)


@contextmanager
def identified(turn: Turn, context: Context) -> Iterator[None]:
    """Layer 2: the request id in the trailing metadata and in every log line."""
    set_call(turn.call)
    context.set_trailing_metadata(((REQUEST_ID_KEY, turn.call.request_id),))
    with structlog.contextvars.bound_contextvars(request_id=turn.call.request_id):
        yield


@asynccontextmanager
async def translated(turn: Turn, context: Context) -> AsyncIterator[None]:
    """Layer 3: errors become statuses; those that are not meant for the caller are logged and hidden."""
    try:
        yield
    except grpc.aio.AbortError:
        turn.code = str(context.code())
        raise
    except asyncio.CancelledError:
        turn.code = "CANCELLED"
        raise
    except OnwardError as error:
        if isinstance(error, Internal):
            log.exception("rpc_failed", method=turn.call.method)
        await _abort(turn, context, error)
    except Exception:
        log.exception("rpc_failed", method=turn.call.method)
        await _abort(turn, context, _hidden(turn.call.request_id))


def _hidden(request_id: str) -> Internal:
    return Internal(
        f"Something went wrong inside Onward; its log has it under request id {request_id}.",
        metadata={"request_id": request_id},
    )


async def _abort(turn: Turn, context: Context, error: OnwardError) -> None:
    turn.code = error.code
    status = to_status(error)
    details = ((DETAILS_KEY, status.SerializeToString()), (REQUEST_ID_KEY, turn.call.request_id))
    await context.abort(grpc.StatusCode[error.code], status.message, details)


@asynccontextmanager
async def limited(turn: Turn, context: Context, limits: Limits) -> AsyncIterator[None]:
    """Layer 4: the caller's deadline, or ours where it set none or too long a one."""
    default_s, most_s = limits.unary_default_s, limits.unary_max_s
    if turn.streams:
        default_s = most_s = limits.stream_max_s
    remaining_s = context.time_remaining()
    seconds = min(default_s if remaining_s is None else remaining_s, most_s)
    try:
        async with asyncio.timeout(seconds) as timeout:
            turn.timeout = timeout
            yield
    except TimeoutError:
        # A TimeoutError of the handler's own making is a fault, not the call's deadline.
        if not timeout.expired():
            raise
        raise _ended(turn, seconds) from None


@contextmanager
def noted(turn: Turn, denials: DenialLog | None) -> Iterator[None]:
    """Part of layer 6: refusals leave a record, those of handlers too, and those that end a stream.

    It is outside of layer 4, since that is where a stream's end comes from.
    """
    try:
        yield
    except (InvalidToken, NotFound, PermissionDenied) as error:
        if denials is not None and turn.demand is not None and _is_refusal(turn, turn.demand, error):
            denials.note(turn.call, turn.demand, error, turn.principal)
        raise


def _is_refusal(turn: Turn, demand: Demand, error: OnwardError) -> bool:
    if not turn.admitted or error is turn.refusal:
        return True
    # To who was let in, NOT_FOUND says that it is not there. What the registry tells another service of somebody's
    # token, that service records.
    return not isinstance(error, NotFound) and demand.permission != access_pb2.PERMISSION_SERVICE


def _ended(turn: Turn, seconds: float) -> Exception:
    if turn.refusal is not None:
        return turn.refusal
    if turn.cut:
        return Unavailable("The server is stopping; call again to reach another one.", retry_after_s=1)
    return DeadlineExceeded(f"The call did not end within {seconds:.3g} s; it may or may not have taken effect.")
