"""Streams that outlive their caller's rights: they are asked about anew for as long as they run."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from kit.auth.caller import Caller, current_caller
from kit.errors import DeadlineExceeded, OnwardError, Overloaded, Unavailable
from kit.rpc.layers import Turn
from kit.rpc.limits import Limits

log = structlog.get_logger(__name__)

# Whoever is asked may be away for a moment, or have too much to do.
_PASSING = (Unavailable, DeadlineExceeded, Overloaded)

# Whether the stream's caller may still see it, as at its start: the caller, or what `kit.auth.authorizer` raises.
Admit = Callable[[], Awaitable[Caller]]


@asynccontextmanager
async def renewed(turn: Turn, admit: Admit, limits: Limits) -> AsyncIterator[None]:
    """While the block runs, its stream ends with an error once its caller may no longer see it."""
    renewing = asyncio.create_task(_renew(turn, admit, limits), name="stream-renewal")
    try:
        yield
    finally:
        renewing.cancel()
        await asyncio.wait([renewing])


async def _renew(turn: Turn, admit: Admit, limits: Limits) -> None:
    """Returns when the stream was told to end, for whatever reason: nothing may run unasked."""
    began = current_caller()
    sure_at = time.monotonic()
    while True:
        await asyncio.sleep(limits.stream_renew_s)
        asked_at = time.monotonic()
        try:
            _require_all(began, await admit())
            sure_at = asked_at
        except _PASSING as error:
            if isinstance(error, RightsChanged) or time.monotonic() - sure_at >= limits.stream_unsure_s_max:
                turn.refuse(error)
                return
        except OnwardError as error:
            log.info("stream_revoked", method=turn.call.method, reason=error.reason)
            turn.refuse(error)
            return
        except Exception as error:  # noqa: BLE001  # the stream ends with it, and logs it
            turn.refuse(error)
            return


class RightsChanged(Unavailable):
    """The caller may see less than at the start, so that the stream would show too much."""

    def __init__(self) -> None:
        super().__init__("Your roles changed; call again to see what they allow now.", retry_after_s=0)


def _require_all(began: Caller, now: Caller) -> None:
    """Raise where something that the stream began with was taken away; what was added it shows after the next call."""
    if began.functions & now.functions != began.functions or began.sources & now.sources != began.sources:
        raise RightsChanged
