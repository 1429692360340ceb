"""onward deliveries"""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Literal

from cyclopts import App
from google.protobuf.timestamp_pb2 import Timestamp

from cli.commands.destinations import destination_stub
from cli.delivery_text import (
    EndWord,
    FailureWord,
    delivery_as_json,
    delivery_row,
    error_type_named,
    list_columns,
    print_attempts,
    print_delivery,
    state_named,
    tail_line,
)
from cli.durations import parse_duration
from cli.failures import CommandError, Exit, UsageError
from cli.options import DEFAULTS, Options
from cli.output import is_wide, last_part, print_json, print_json_line, print_table, say, say_line, when_short
from cli.paging import check_limit, collect, paged
from cli.session import Session
from kit.errors import NotFound, PermissionDenied, Unavailable
from onward.delivery.v1 import delivery_service_pb2 as pb
from onward.delivery.v1 import delivery_service_pb2_grpc as pb_grpc
from onward.delivery.v1 import unmatched_pb2
from onward.executor.v1 import outcomes_pb2
from onward.registry.v1 import destination_service_pb2 as destination_pb

app = App(name="deliveries", help="See what became of every event for every destination.")
for name, told in (
    ("summary", "Count what became of the events of a time range, against the one before."),
    ("series", "Show deliveries and latencies over time."),
    ("errors", "List what goes wrong, the worst first."),
    ("hosts", "Show how the APIs are that functions call."),
    ("usage", "Show what functions took, by day."),
):
    # As in cli.main: the line here would hide the command's own help, with its example.
    app.command(f"cli.commands.delivery_numbers:{name}", name=name, help=None if name in sys.argv[2:3] else told)

for name, told in (
    ("retry", "Try a delivery now."),
    ("cancel", "End a delivery that waits."),
    ("redrive", "Have failed deliveries tried again."),
):
    app.command(f"cli.commands.redrives:{name}", name=name, help=None if name in sys.argv[2:3] else told)

app.command("cli.commands.breakers:app", name="breaker", help="Close the circuit breaker of a destination.")

State = Literal["any", "pending", EndWord]
# "exhausted" are those of the failed ones whose retries were used up.
ListedState = Literal[State, "exhausted"]
ErrorWord = Literal["any", FailureWord]


def delivery_stub(session: Session) -> pb_grpc.DeliveryServiceAsyncStub:
    """Give the stub of the DeliveryService."""
    stub: pb_grpc.DeliveryServiceAsyncStub = pb_grpc.DeliveryServiceStub(session.as_member("delivery"))
    return stub


def parent_of(session: Session, destination: str) -> str:
    """Give what to ask about: also a destination that was disconnected, since its deliveries stay visible."""
    return session.name("destinations", destination) if destination else session.workspace_name


async def require_known(session: Session, destination: str) -> None:
    """Explain why nothing was found. Raises CommandError where the destination does not exist now.

    The tracker only knows what it has recorded, so it can't tell a wrong name from one without events.
    """
    if not destination:
        return
    name = session.name("destinations", destination)
    try:
        # What happened may be looked at without the registry, too.
        with suppress(Unavailable, PermissionDenied):
            await destination_stub(session).GetDestination(destination_pb.GetDestinationRequest(name=name))
    except NotFound:
        raise CommandError(
            f"{name} does not exist. `onward destinations list` shows what there is;"
            " of one that was disconnected, nothing like that was found.",
            Exit.NOT_FOUND,
        ) from None


def _ago(text: str) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=parse_duration(text))


@app.command(name="list")
async def list_deliveries(
    *,
    destination: str = "",
    state: ListedState = "any",
    error: ErrorWord = "any",
    message_id: str = "",
    since: str = "",
    limit: int = 50,
    options: Options = DEFAULTS,
) -> None:
    """List deliveries, newest first.

    Example: onward deliveries list --state failed --error message-rejected

    Parameters
    ----------
    destination
        Only this one's.
    state
        Only those in this state; exhausted are those that failed since their retries are used up.
    error
        Only those that failed, or failed last, for this reason.
    message_id
        Only those of the event with this messageId.
    since
        Only those whose event was received within this time: 30s, 15m, 1h, 7d.
    limit
        How many at most.
    """
    check_limit(limit)
    exhausted = state == "exhausted"
    request = pb.ListDeliveriesRequest(
        state=state_named("failed" if state == "exhausted" else state),
        error_type=error_type_named(error),
        message_id=message_id,
        reason="exhausted" if exhausted else "",
    )
    if since:
        request.start_time.FromDatetime(_ago(since))
    async with Session(options) as session:
        request.parent = parent_of(session, destination)
        found = await collect(paged(delivery_stub(session).ListDeliveries, request), "deliveries", limit + 1)
        if not found:
            await require_known(session, destination)
    more, found = len(found) > limit, found[:limit]
    if options.json:
        print_json({"deliveries": found})
        return
    wide = is_wide()
    print_table(list_columns(wide=wide), [delivery_row(one, wide=wide) for one in found], empty="There is none.")
    if more:
        say(f"There are more: --limit {limit * 10}")


@app.command
async def show(
    delivery: str = "",
    /,
    *,
    message_id: str = "",
    destination: str = "",
    options: Options = DEFAULTS,
) -> None:
    """Show a delivery with its attempts: error, console lines, requests and answers.

    Example: onward deliveries show \\
        --message-id ajs-next-74d90f6481637047867d7bde --destination alerts-web

    Parameters
    ----------
    delivery
        Its id, from `onward deliveries list`.
    message_id
        Find it by the event's messageId.
    destination
        With --message-id, only this one's.
    """
    if bool(delivery) == bool(message_id):
        raise UsageError("name one delivery: by its id, or with --message-id")
    async with Session(options) as session:
        stub = delivery_stub(session)
        name = session.name("deliveries", delivery) if delivery else ""
        if message_id:
            parent = parent_of(session, destination)
            request = pb.ListDeliveriesRequest(parent=parent, message_id=message_id)
            listed = await stub.ListDeliveries(request)
            if not listed.deliveries:
                await require_known(session, destination)
            name = _only_delivery(list(listed.deliveries), message_id)
        found = await stub.GetDelivery(pb.GetDeliveryRequest(name=name))
    if options.json:
        print_json(delivery_as_json(found))
        return
    print_delivery(found.delivery)
    print_attempts(found.attempts)


def _only_delivery(found: list[pb.Delivery], message_id: str) -> str:
    if not found:
        raise CommandError(f"no delivery of an event with the messageId {message_id} is known", Exit.NOT_FOUND)
    if len(found) > 1:
        names = ", ".join(one.destination.rpartition("/")[2] for one in found)
        raise UsageError(f"the event was given to several destinations, so name one with --destination: {names}")
    return found[0].name


@app.command
async def tail(*, destination: str = "", state: State = "any", options: Options = DEFAULTS) -> None:
    """Follow deliveries as their attempts are recorded, until Ctrl-C. With --json, a line of JSON each.

    Example: onward deliveries tail --state failed

    Parameters
    ----------
    destination
        Only this one's.
    state
        Only those in this state.
    """
    async with Session(options) as session:
        parent = parent_of(session, destination)
        # One that is not there would be waited for without an end.
        await require_known(session, destination)
        request = pb.WatchDeliveriesRequest(parent=parent, state=state_named(state))
        async for answer in delivery_stub(session).WatchDeliveries(request):
            for one in answer.deliveries:
                if options.json:
                    print_json_line(one)
                else:
                    say_line(tail_line(one))


@app.command
async def refused(*, limit: int = 20, options: Options = DEFAULTS) -> None:
    """List events that were refused where they were received, newest first, with the reason.

    Example: onward deliveries refused

    Parameters
    ----------
    limit
        How many at most.
    """
    check_limit(limit)
    async with Session(options) as session:
        request = pb.ListIngestFailuresRequest(parent=session.workspace_name)
        found = await collect(paged(delivery_stub(session).ListIngestFailures, request), "failures", limit)
    if options.json:
        print_json({"failures": found})
        return
    rows = [
        (_received(one), one.source, one.reason, one.message, one.sample.decode(errors="replace")[:60]) for one in found
    ]
    print_table(("received", "source", "reason", "~what is wrong", "~event"), rows, empty="None was refused.")


@app.command
async def unmatched(*, limit: int = 20, options: Options = DEFAULTS) -> None:
    """List names in the integrations of events that are no destination of their source, the last seen first.

    Example: onward deliveries unmatched

    Parameters
    ----------
    limit
        How many at most.
    """
    check_limit(limit)
    async with Session(options) as session:
        request = unmatched_pb2.ListUnmatchedIntegrationsRequest(parent=session.workspace_name)
        found = await collect(paged(delivery_stub(session).ListUnmatchedIntegrations, request), "integrations", limit)
    if options.json:
        print_json({"integrations": found})
        return
    rows = [(when_short(one.last_receive_time), last_part(one.source), one.name, f"{one.events:,}") for one in found]
    print_table(("last seen", "source", "~name", "events"), rows, empty="Every name is a destination's.")


def _received(one: outcomes_pb2.IngestFailure) -> str:
    moment = Timestamp()
    moment.FromMicroseconds(one.received_at_us)
    return when_short(moment)
