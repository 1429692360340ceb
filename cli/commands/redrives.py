"""onward deliveries retry, cancel and redrive"""

from __future__ import annotations

from cli.commands.deliveries import delivery_stub
from cli.commands.replays import replay_stub
from cli.confirmation import Yes
from cli.delivery_text import FailureWord, error_type_named
from cli.options import DEFAULTS, Options
from cli.output import tell
from cli.replay_run import run
from cli.replay_text import TypeWord, selection_of
from cli.session import Session
from kit.ids import uuid7
from onward.delivery.v1 import acts_pb2 as acts
from onward.delivery.v1 import replay_service_pb2 as pb


async def retry(delivery: str, /, *, options: Options = DEFAULTS) -> None:
    """Try a delivery now: one that waits, or one that has failed.

    Example: onward deliveries retry d17-0-0a1b2c3d

    Parameters
    ----------
    delivery
        Its id, from `onward deliveries list`.
    """
    async with Session(options) as session:
        request = acts.RetryDeliveryRequest(name=session.name("deliveries", delivery), request_id=uuid7())
        answer = await delivery_stub(session).RetryDelivery(request)
    told = f"{delivery} is tried now, or as soon as its destination can take it: onward deliveries show {delivery}"
    tell(answer, told, as_json=options.json)


async def cancel(delivery: str, /, *, options: Options = DEFAULTS) -> None:
    """End a delivery that waits; one that is being attempted ends with that.

    Example: onward deliveries cancel d17-0-0a1b2c3d

    Parameters
    ----------
    delivery
        Its id, from `onward deliveries list`.
    """
    async with Session(options) as session:
        request = acts.CancelDeliveryRequest(name=session.name("deliveries", delivery), request_id=uuid7())
        answer = await delivery_stub(session).CancelDelivery(request)
    tell(answer, f"{delivery} is not tried again.", as_json=options.json)


async def redrive(
    destination: str,
    /,
    *,
    since: str = "",
    until: str = "",
    error: list[FailureWord] | None = None,
    status: list[int] | None = None,
    group: list[str] | None = None,
    type: list[TypeWord] | None = None,
    name: list[str] | None = None,
    condition: str = "",
    rate: float = 0,
    dry_run: bool = False,
    watch: bool = False,
    yes: Yes = False,
    options: Options = DEFAULTS,
) -> None:
    """Have a destination's failed deliveries tried again, each as the delivery that it is.

    Example: onward deliveries redrive alerts-web --since 12h --status 503 --watch

    Parameters
    ----------
    destination
        Its id.
    since
        Of events received since then: 15m, 2h, 7d, or a time; all that is kept where absent.
    until
        Of events received before; now where absent.
    error
        Only those that failed for this reason; may be repeated.
    status
        Only those whose error carried this HTTP status; may be repeated.
    group
        Only those of this error group, from `onward deliveries errors`; may be repeated.
    type
        Only of events of this type; may be repeated.
    name
        Only of track events of this name; may be repeated.
    condition
        Only of events for which this is true, as conditions of filters: 'properties.plan = "pro"'.
    rate
        Deliveries a second at most; 500 where absent.
    dry_run
        Only count what it would be.
    watch
        Follow it to its end.
    """
    selection = selection_of(since, until, type or [], name or [], condition)
    selection.error_types.extend(error_type_named(one) for one in error or [])
    selection.http_statuses.extend(status or [])
    selection.error_groups.extend(group or [])
    async with Session(options) as session:
        stub = replay_stub(session)
        request = pb.RedriveDeliveriesRequest(
            destination=session.name("destinations", destination), selection=selection, rate_per_second=rate
        )
        call = stub.RedriveDeliveries
        await run(stub, call, request, "failed event", options, dry_run=dry_run, watch=watch, yes=yes)
