"""What commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

# Where nobody looks, lines are not folded to a screen that is not there.
PIPE_WIDTH = 400
ABSENT = "-"
# From here on, tables show columns that not everybody needs.
WIDE_CELLS = 120
# A column whose cells are longer may be folded; so many cells are kept for one that gives way.
STIFF_CELLS_MAX = 40
FLEXIBLE_CELLS_MIN = 8
GAP_CELLS = 2

_STYLES = {
    "delivered": "green",
    "enabled": "green",
    "succeeded": "green",
    "failed": "red",
    "denied": "red",
    "disabled": "dim",
    "pending": "yellow",
}

# C0, DEL, C1, what turns the direction of writing, and lone halves of surrogates: a terminal obeys the first ones, and
# the others make a line look like another one.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# Where the lines of a text go on; no line of ours begins so far to the right.
CONTINUATION = " " * 11

Cell = str | int | float | Text | None


@cache
def console() -> Console:
    """Give the console of stdout."""
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return Console(highlight=False, width=width, soft_wrap=False)


@cache
def error_console() -> Console:
    """Give the console of stderr: errors, warnings, progress."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def shown(text: str) -> str:
    """Give a text of anybody's as one line that a terminal only shows: control characters become escapes."""
    return _UNPRINTABLE.sub(_escape, text)


def shown_lines(text: str) -> str:
    """Give a text as shown() does, but with its lines; they are indented, so that none can pass for one of ours."""
    return f"\n{CONTINUATION}".join(shown(line.removesuffix("\r").expandtabs()) for line in text.split("\n"))


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    code = ord(character)
    return _ESCAPES.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def styled(*parts: str | tuple[str, str]) -> Text:
    """Give one line of texts, each alone or with its style; whatever they hold is shown, never obeyed."""
    return Text.assemble(*(shown(one) if isinstance(one, str) else (shown(one[0]), one[1]) for one in parts))


def say(text: str = "", *, style: str = "") -> None:
    """Print a line for people to stdout; it may hold anything, brackets, newlines and control characters included."""
    console().print(Text(shown_lines(text), style=style), soft_wrap=True)


def say_line(line: Text) -> None:
    """Print a line that styled() made."""
    console().print(line, soft_wrap=True)


def say_code(code: str) -> None:
    """Print code: exactly to a file or a program, with escapes to a terminal."""
    lines = code.rstrip("\n").split("\n")
    if sys.stdout.isatty():
        lines = [shown(line.removesuffix("\r").expandtabs()) for line in lines]
    sys.stdout.write("\n".join(lines) + "\n")


def warn(text: str) -> None:
    """Print a line to stderr."""
    error_console().print(Text.assemble(("warning: ", "yellow"), shown_lines(text)))


def note(text: str) -> None:
    """Print a line to stderr that is for people, beside what stdout is for."""
    error_console().print(Text(shown_lines(text), style="dim"))


def print_error(line: str) -> None:
    """Print to stderr why a command ends."""
    error_console().print(Text.assemble(("error: ", "bold red"), shown_lines(line)))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, title: str = "", empty: str = "") -> None:
    """Print a table, or `empty` where there is no row.

    A column that begins with `>` is set to the right, one that begins with `~` gives way where there is no room.
    """
    rows = list(rows)
    if not rows and empty:
        say(empty)
        return
    console().print(make_table(columns, rows, title, console().width))


def make_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]], title: str = "", width: int = 80) -> Table:
    """Give a table of `columns` as print_table has them; no character of a cell is lost however narrow it is."""
    cells = [[_cell(cell) for cell in row] for row in rows]
    table = Table(
        box=SIMPLE_HEAD,
        title=Text(shown(title), style="bold") if title else None,
        title_justify="left",
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    widths = [
        max([len(column.lstrip(">~")), *(row[at].cell_len for row in cells)]) for at, column in enumerate(columns)
    ]
    stiff = [not column.startswith("~") and widths[at] <= STIFF_CELLS_MAX for at, column in enumerate(columns)]
    needed = sum(widths[at] if stiff[at] else FLEXIBLE_CELLS_MIN for at in range(len(columns)))
    fits = needed + GAP_CELLS * len(columns) <= width
    for at, column in enumerate(columns):
        table.add_column(
            column.lstrip(">~"),
            justify="right" if column.startswith(">") else "left",
            no_wrap=stiff[at] and fits,
            overflow="fold",
        )
    for row in cells:
        table.add_row(*row)
    return table


def is_wide() -> bool:
    """Whether there is room for columns that not everybody needs."""
    return console().width >= WIDE_CELLS


def print_record(fields: Iterable[tuple[str, Cell]]) -> None:
    """Print one thing, a line a field."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in fields:
        table.add_row(name, _cell(value))
    console().print(table)


def _cell(value: Cell) -> Text:
    if isinstance(value, Text):
        return value
    text = ABSENT if value is None or value == "" else str(value)
    return Text(shown(text), style=_STYLES.get(text, ""))


def print_json(document: Any) -> None:
    """Print one JSON document."""
    sys.stdout.write(json.dumps(plain(document), indent=2, ensure_ascii=False) + "\n")


def print_json_line(document: Any) -> None:
    """Print one line of JSON, at once."""
    sys.stdout.write(json.dumps(plain(document), ensure_ascii=False) + "\n")
    sys.stdout.flush()


def tell(document: Any, *lines: str, as_json: bool) -> None:
    """Print what a command came to: a JSON document for programs, lines for people."""
    if as_json:
        print_json(document)
        return
    for line in lines:
        say(line)


def tell_list(
    field: str,
    found: Sequence[Any],
    columns: Sequence[str],
    row: Callable[[Any], Sequence[Cell]],
    *,
    empty: str,
    as_json: bool,
) -> None:
    """Print a list: {field: [...]} for programs, for people a table as print_table has it, or `empty`."""
    if as_json:
        print_json({field: list(found)})
    else:
        print_table(columns, [row(one) for one in found], empty=empty)


def plain(document: Any) -> Any:
    """Make messages what proto-JSON says, with every field, so that programs need not know defaults."""
    if isinstance(document, Message):
        return MessageToDict(document, always_print_fields_with_no_presence=True)
    if isinstance(document, dict):
        return {key: plain(value) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [plain(one) for one in document]
    return document


def last_part(name: str) -> str:
    """Give the id at the end of a resource name."""
    return name.rpartition("/")[2]


def when(moment: Timestamp, *, with_date: bool = True) -> str:
    """Give local time for people."""
    if not moment.seconds:
        return ABSENT
    local = datetime.fromtimestamp(moment.seconds + moment.nanos / 1e9, UTC).astimezone()
    return local.strftime("%Y-%m-%d %H:%M:%S" if with_date else "%H:%M:%S.%f")[: 19 if with_date else 12]


def when_short(moment: Timestamp) -> str:
    """Give the local time of today, or the date and the time of another day, for lists."""
    if not moment.seconds:
        return ABSENT
    local = datetime.fromtimestamp(moment.seconds, UTC).astimezone()
    return local.strftime("%H:%M:%S" if local.date() == datetime.now().astimezone().date() else "%Y-%m-%d %H:%M")


def enum_word(name: str, prefix: str) -> str:
    """Give the word for people: DELIVERY_STATE_PENDING without its prefix is "pending"."""
    word = name.removeprefix(prefix).lower().replace("_", " ")
    return "" if word == "unspecified" else word


def milliseconds(value: float) -> str:
    """Give a duration with as many digits as tell something."""
    if value >= 10_000:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"


def counted(number: int, noun: str) -> str:
    """Give a number and its noun: "1 event", "2,000 events"."""
    if number == 1:
        return f"{number:,} {noun}"
    return f"{number:,} {noun}{'es' if noun.endswith(('s', 'sh', 'ch', 'x')) else 's'}"


def shortened(text: str, characters_max: int) -> str:
    """Give one line of at most so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= characters_max else line[: characters_max - 1] + "…"
