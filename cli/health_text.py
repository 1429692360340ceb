"""How destinations are, in words and one line of blocks."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from cli.delivery_text import error_word
from cli.output import Cell, counted, enum_word, last_part, shortened, shown, when_short
from onward.delivery.v1 import health_pb2 as pb

MESSAGE_CHARACTERS_MAX = 80
# From no failure to nothing but failures.
_BLOCKS = "▁▂▃▄▅▆▇█"
_NOTHING = "·"
# From this share of failures on a window is no longer green, and red.
_YELLOW_FROM, _RED_FROM = 0.1, 0.5
_STYLES = {"healthy": "green", "unhealthy": "bold red", "idle": "dim"}

COLUMNS = ("destination", "is", "since", ">failing", ">attempts", "last hour", "~most failures")


def health_row(one: pb.DestinationHealth) -> tuple[Cell, ...]:
    """Give a row of COLUMNS."""
    rate = f"{one.failure_rate:.0%}" if one.attempts else ""
    since = when_short(one.since_time) if one.HasField("since_time") else ""
    return (last_part(one.destination), _state(one), since, rate, one.attempts, hour_line(one.windows), _why(one))


def hour_line(windows: Sequence[pb.HealthWindow]) -> Text:
    """Give a block a window: the higher, the more of its attempts failed."""
    line = Text()
    for one in windows:
        if not one.attempts:
            line.append(_NOTHING, style="dim")
            continue
        share = one.failures / one.attempts
        style = "red" if share >= _RED_FROM else "yellow" if share >= _YELLOW_FROM else "green"
        line.append(_BLOCKS[round(share * (len(_BLOCKS) - 1))], style=style)
    return line


def health_summary(found: Sequence[pb.DestinationHealth]) -> str:
    """Say it in one line."""
    sick = sum(one.state == pb.HEALTH_STATE_UNHEALTHY for one in found)
    if not sick:
        return f"{counted(len(found), 'destination')}, and none is unhealthy."
    return f"{sick} of {counted(len(found), 'destination')} {'is' if sick == 1 else 'are'} unhealthy."


def _state(one: pb.DestinationHealth) -> Text:
    word = enum_word(pb.HealthState.Name(one.state), "HEALTH_STATE_")
    return Text(word, style=_STYLES.get(word, ""))


def _why(one: pb.DestinationHealth) -> Text:
    parts = []
    if one.HasField("breaker"):
        parts.append("its breaker is open")
    if one.http_errors:
        parts.append(f"{counted(one.http_errors, 'success')} with an HTTP error")
    if one.error_type:
        message = shortened(one.error_message, MESSAGE_CHARACTERS_MAX)
        parts.append(f"{error_word(one.error_type)}: {message}" if message else error_word(one.error_type))
    if one.sample_delivery:
        parts.append(last_part(one.sample_delivery))
    return Text("; ".join(shown(part) for part in parts))
