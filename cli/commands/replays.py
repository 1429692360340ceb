"""onward replays"""

from __future__ import annotations

from cyclopts import App

from cli.confirmation import Yes
from cli.delivery_text import EndWord, state_named
from cli.options import DEFAULTS, Options
from cli.output import print_json, print_table, tell
from cli.paging import check_limit, collect, paged
from cli.replay_run import run, watched
from cli.replay_text import COLUMNS, TypeWord, print_replay, replay_row, selection_of
from cli.session import Session
from kit.ids import uuid7
from onward.delivery.v1 import replay_service_pb2 as pb
from onward.delivery.v1 import replay_service_pb2_grpc as pb_grpc

app = App(name="replays", help="Give events to a destination again, and see how far that is.")


def replay_stub(session: Session) -> pb_grpc.ReplayServiceAsyncStub:
    """Give the stub of the ReplayService."""
    stub: pb_grpc.ReplayServiceAsyncStub = pb_grpc.ReplayServiceStub(session.as_member("delivery"))
    return stub


@app.command
async def create(
    destination: str,
    /,
    *,
    since: str = "",
    until: str = "",
    type: list[TypeWord] | None = None,
    name: list[str] | None = None,
    condition: str = "",
    only: list[EndWord] | None = None,
    rate: float = 0,
    dry_run: bool = False,
    watch: bool = False,
    yes: Yes = False,
    options: Options = DEFAULTS,
) -> None:
    """Give events of a destination's source to it again, as deliveries of their own.

    Example: onward replays create alerts-web --since 2h --name "Order Completed"

    Parameters
    ----------
    destination
        Its id. Failed deliveries are better tried again with `onward deliveries redrive`.
    since
        Events received since then: 15m, 2h, 7d, or a time; as far back as the stream goes where absent.
    until
        Events received before; now where absent.
    type
        Only events of this type; may be repeated.
    name
        Only track events of this name; may be repeated.
    condition
        Only events for which this is true, as conditions of filters: 'properties.plan = "pro"'.
    only
        Only events whose delivery to it ended so; may be repeated.
    rate
        Events a second at most; 500 where absent.
    dry_run
        Only count what it would be.
    watch
        Follow it to its end.
    """
    selection = selection_of(since, until, type or [], name or [], condition)
    selection.states.extend(state_named(one) for one in only or [])
    async with Session(options) as session:
        stub = replay_stub(session)
        request = pb.CreateReplayRequest(
            destination=session.name("destinations", destination), selection=selection, rate_per_second=rate
        )
        await run(stub, stub.CreateReplay, request, "event", options, dry_run=dry_run, watch=watch, yes=yes)


@app.command(name="list")
async def list_replays(*, destination: str = "", limit: int = 20, options: Options = DEFAULTS) -> None:
    """List replays and redrives, newest first.

    Example: onward replays list

    Parameters
    ----------
    destination
        Only this one's.
    limit
        How many at most.
    """
    check_limit(limit)
    async with Session(options) as session:
        parent = session.name("destinations", destination) if destination else session.workspace_name
        stub = replay_stub(session)
        found = await collect(paged(stub.ListReplays, pb.ListReplaysRequest(parent=parent)), "replays", limit)
    if options.json:
        print_json({"replays": found})
        return
    print_table(COLUMNS, [replay_row(one) for one in found], empty="There is none.")


@app.command
async def show(replay: str, /, *, options: Options = DEFAULTS) -> None:
    """Show a replay or redrive.

    Example: onward replays show r1

    Parameters
    ----------
    replay
        Its id, from `onward replays list`.
    """
    async with Session(options) as session:
        request = pb.GetReplayRequest(name=session.name("replays", replay))
        found = (await replay_stub(session).GetReplay(request)).replay
    if options.json:
        print_json({"replay": found})
        return
    print_replay(found)


@app.command
async def watch(replay: str, /, *, options: Options = DEFAULTS) -> None:
    """Follow a replay or redrive to its end. With --json, a line of JSON for each change.

    Example: onward replays watch r1

    Parameters
    ----------
    replay
        Its id, from `onward replays list`.
    """
    async with Session(options) as session:
        await watched(replay_stub(session), session.name("replays", replay), options)


@app.command
async def cancel(replay: str, /, *, options: Options = DEFAULTS) -> None:
    """End a replay or redrive: it takes up nothing more.

    What a redrive has not attempted is failed as before; what waits of a replay
    is cancelled.

    Example: onward replays cancel r1

    Parameters
    ----------
    replay
        Its id, from `onward replays list`.
    """
    async with Session(options) as session:
        request = pb.CancelReplayRequest(name=session.name("replays", replay), request_id=uuid7())
        answer = await replay_stub(session).CancelReplay(request)
    tell(answer, f"{replay} ends: {answer.replay.delivered:,} had been delivered.", as_json=options.json)
