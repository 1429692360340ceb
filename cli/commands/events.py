"""onward events"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from cli.commands.write_keys import source_stub
from cli.console_log import show_warnings
from cli.failures import CommandError, Exit, UsageError
from cli.options import DEFAULTS, Options
from cli.output import counted, error_console, print_json, say, warn
from cli.publisher import EventPublisher, PublishPlan, Tally
from cli.session import Session
from kit.errors import Unavailable
from onward.registry.v1 import source_service_pb2 as pb

if TYPE_CHECKING:
    from kit.publisher.publisher import Publisher

app = App(name="events", help="Publish events to a source.")


@app.command
async def publish(
    source: str,
    file: Annotated[str, Parameter(allow_leading_hyphen=True)] = "-",
    /,
    *,
    repeat: int = 1,
    limit: int | None = None,
    rate: float | None = None,
    timeout: float = 300.0,
    check: Annotated[bool, Parameter(negative="--no-check")] = True,
    key: Annotated[str, Parameter(env_var="ONWARD_WRITE_KEY")] = "",
    options: Options = DEFAULTS,
) -> int:
    """Publish events, one JSON object a line, until each one is stored.

    An event without a messageId gets one. A line may also be a packed batch,
    {"batch": [...]}. What is no event is counted and shown, the others are
    published; the exit code is 1 then. A lost connection is waited for and what
    was not acknowledged is sent again. Of a stack elsewhere, --key, --nats and
    --workspace are all it needs.

    Example: onward events publish web events.ndjson

    Parameters
    ----------
    source
        The source's id.
    file
        NDJSON, also .gz; a .json file may hold one event or an array of them; - is stdin.
    repeat
        Publish the file so many times, with other messageIds each time.
    limit
        Publish so many events at most; a packed batch is not split.
    rate
        Publish so many events a second at most.
    timeout
        Give up when nothing was acknowledged for so many seconds.
    check
        Check events first; without it they are sent as they are, and refused where they are received.
    key
        The source's write key, onwk_<id>_<secret>; the one that the data folder keeps where absent.
    """
    if file.startswith("-") and file != "-":
        raise UsageError(f"Unknown option: {file}. Write ./{file} if it is a file.")
    _check_numbers(repeat, limit, rate, timeout)
    show_warnings()
    async with Session(options) as session:
        name = session.name("sources", source)
        if not key:
            # Tells a wrong name from a source whose key is not known here; a key that is given knows its source.
            await source_stub(session).GetSource(pb.GetSourceRequest(name=name))
        plan = PublishPlan(source, repeat, limit, rate, timeout, check)
        events = EventPublisher(plan)
        tally = await _published(events, await session.publisher(source, key, events.told), file)
    _report(tally, plan, options)
    return Exit.FAILED if tally.invalid or tally.refused else Exit.OK


async def _published(events: EventPublisher, publisher: Publisher, file: str) -> Tally:
    with _progress(events):
        try:
            return await events.publish_file(publisher, file)
        except Unavailable as error:
            raise CommandError(error.message, Exit.UNREACHABLE) from error


def _check_numbers(repeat: int, limit: int | None, rate: float | None, timeout: float) -> None:
    if repeat < 1 or (limit is not None and limit < 1) or (rate is not None and rate <= 0) or timeout <= 0:
        raise UsageError("--repeat, --limit, --rate and --timeout must be greater than 0")


@contextmanager
def _progress(publisher: EventPublisher) -> Iterator[None]:
    """Show a bar on a terminal, nothing elsewhere."""
    console = error_console()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("publishing", total=None)

        def update() -> None:
            done, total = publisher.progress
            tally = publisher.tally
            progress.update(task, completed=done, total=total, description=f"{tally.published:,} published")

        publisher.on_progress = update
        yield


def _report(tally: Tally, plan: PublishPlan, options: Options) -> None:
    if options.json:
        document = {
            "published": tally.published,
            "duplicates": tally.duplicates,
            "invalid": tally.invalid,
            "refused": tally.refused,
            "seconds": round(tally.seconds, 3),
            "rate": round(tally.rate, 1),
            "problems": tally.problems,
        }
        print_json(document)
        return
    bad = tally.invalid + tally.refused
    for problem in tally.problems:
        warn(problem)
    if bad > len(tally.problems):
        warn(f"and {bad - len(tally.problems):,} more")
    say(
        f"Published {counted(tally.published, 'event')} to {plan.source} in {tally.seconds:.2f} s"
        f" ({tally.rate:,.0f} a second); {counted(tally.duplicates, 'duplicate')}, {counted(bad, 'invalid event')}."
    )
    if not plan.check:
        say("Nothing was checked: `onward deliveries refused` shows what is refused.")
