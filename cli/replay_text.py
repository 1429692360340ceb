"""Replays in words and bars, and what people give to select events."""

from __future__ import annotations

from collections.abc import AsyncIterable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from cli.confirmation import confirm
from cli.durations import parse_moment
from cli.output import Cell, enum_word, error_console, last_part, print_record, say, when, when_short
from onward.delivery.v1 import replays_pb2 as pb
from onward.executor.v1 import outcomes_pb2

# More than so many are not run again without a yes.
ASKED_ABOVE = 1_000

TypeWord = Literal["track", "identify", "page", "screen", "group", "alias", "delete"]

COLUMNS = ("replay", "made", "destination", "kind", "state", ">taken up", ">delivered", ">failed", ">waiting")
_ENDED = (pb.REPLAY_STATE_FINISHED, pb.REPLAY_STATE_CANCELLED)


def selection_of(
    since: str, until: str, types: Sequence[TypeWord], names: Sequence[str], condition: str
) -> pb.ReplaySelection:
    """What both kinds of replays select by. Raises UsageError."""
    now = datetime.now(UTC)
    selection = pb.ReplaySelection(
        types=[outcomes_pb2.EventType.Value(f"EVENT_TYPE_{one.upper()}") for one in types],
        event_names=names,
        condition=condition,
    )
    if since:
        selection.start_time.FromDatetime(parse_moment(since, now))
    if until:
        selection.end_time.FromDatetime(parse_moment(until, now))
    return selection


def count_words(preview: pb.ReplayPreview, what: str) -> str:
    about = "about " if preview.is_estimate else ""
    plural = "" if preview.count == 1 else "s"
    received = f" received since {when(preview.first_time)}" if preview.HasField("first_time") else ""
    return f"{about}{preview.count:,} {what}{plural}{received}"


def ask(preview: pb.ReplayPreview, what: str, destination: str, *, yes: bool) -> None:
    """Ask where it is many. Raises CommandError where the answer is no."""
    if preview.count > ASKED_ABOVE or preview.is_estimate:
        confirm(f"Run {count_words(preview, what)} again for {destination}?", yes=yes)


def state_word(replay: pb.Replay) -> str:
    word = enum_word(pb.ReplayState.Name(replay.state), "REPLAY_STATE_")
    if replay.state == pb.REPLAY_STATE_RUNNING and replay.reason:
        return f"{word}; waits: {_reason(replay)}"
    return f"{word}: {_reason(replay)}" if replay.reason not in ("", "cancelled") else word


def _reason(replay: pb.Replay) -> str:
    return replay.reason.replace("_", " ")


def kind_word(replay: pb.Replay) -> str:
    return enum_word(pb.ReplayKind.Name(replay.kind), "REPLAY_KIND_")


def waiting(replay: pb.Replay) -> int:
    ended = replay.delivered + replay.failed + replay.filtered + replay.skipped + replay.cancelled
    return int(replay.taken_up - ended - replay.given_back)


def replay_row(replay: pb.Replay) -> tuple[Cell, ...]:
    """Give a row of COLUMNS."""
    counts = (replay.taken_up, replay.delivered, replay.failed, waiting(replay))
    return (
        last_part(replay.name), when_short(replay.create_time), last_part(replay.destination), kind_word(replay),
        state_word(replay), *(f"{one:,}" for one in counts),
    )  # fmt: skip


def print_replay(replay: pb.Replay) -> None:
    fields: list[tuple[str, Cell]] = [
        ("replay", last_part(replay.name)),
        ("kind", kind_word(replay)),
        ("destination", last_part(replay.destination)),
        ("state", state_word(replay)),
        ("events", _span(replay.selection)),
        ("rate", f"{replay.rate_per_second:g} a second at most"),
        ("made", f"{when(replay.create_time)} by {replay.principal}"),
        ("taken up", f"{replay.taken_up:,} of {'about ' if replay.total_is_estimate else ''}{replay.total:,}"),
        ("delivered", f"{replay.delivered:,}"),
        ("failed", f"{replay.failed:,}"),
        ("waiting", f"{waiting(replay):,}"),
    ]
    others = ("filtered", "skipped", "cancelled", "given_back", "without_event")
    fields += [(name.replace("_", " "), f"{getattr(replay, name):,}") for name in others if getattr(replay, name)]
    if replay.HasField("finish_time"):
        fields.append(("ended", when(replay.finish_time)))
    print_record(fields)


def _span(selection: pb.ReplaySelection) -> str:
    start = f"from {when(selection.start_time)} " if selection.HasField("start_time") else ""
    return f"received {start}until {when(selection.end_time)}"


def result_line(replay: pb.Replay) -> str:
    line = f"{last_part(replay.name)} {state_word(replay)}: {replay.delivered:,} delivered, {replay.failed:,} failed"
    others = ", ".join(
        f"{getattr(replay, name):,} {name.replace('_', ' ')}"
        for name in ("filtered", "skipped", "cancelled", "given_back", "without_event")
        if getattr(replay, name)
    )
    return f"{line}, {others}." if others else f"{line}."


async def follow(answers: AsyncIterable[Any]) -> pb.Replay:
    """Show a bar on a terminal until the replay has ended; give how it stood last."""
    console = error_console()
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn())
    last = pb.Replay()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)
        async for answer in answers:
            last = answer.replay
            done = last.taken_up - waiting(last)
            told = f"{last.delivered:,} delivered, {last.failed:,} failed, {waiting(last):,} waiting"
            progress.update(task, completed=done, total=max(last.total, last.taken_up, 1), description=told)
    return last


def say_begun(replay: pb.Replay, preview: pb.ReplayPreview, what: str) -> None:
    identifier = last_part(replay.name)
    say(f"{identifier} runs {count_words(preview, what)} again for {last_part(replay.destination)}.")
    say(f"Follow it: onward replays watch {identifier}", style="dim")
