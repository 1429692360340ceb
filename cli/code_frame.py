"""The lines of code around a place, with a mark under the column."""

from __future__ import annotations

import re

# V8 counts these as ends of lines, too.
_LINE_END = re.compile(r"\r\n|[\n\r\u2028\u2029]")
LINES_BEFORE = 2
LINES_AFTER = 1
# Of a longer line, such as a minified one, a part around the column.
LINE_CHARACTERS_MAX = 100


def code_frame(code: str, line: int, column: int) -> list[str]:
    """Lines such as `> 3 |   return x.y` and the mark below; nothing where the code has no such line."""
    lines = _LINE_END.split(code)
    if not 1 <= line <= len(lines):
        return []
    first, last = max(1, line - LINES_BEFORE), min(len(lines), line + LINES_AFTER)
    column = min(max(column, 1), len(lines[line - 1]) + 1)
    start = _start(len(lines[line - 1]), column)
    digits = len(str(last))
    frame = []
    for number in range(first, last + 1):
        text = lines[number - 1][start : start + LINE_CHARACTERS_MAX]
        frame.append(f"{'>' if number == line else ' '} {number:>{digits}} | {text.expandtabs(4)}".rstrip())
        if number == line:
            before = lines[number - 1][start : column - 1].expandtabs(4)
            frame.append(f"  {' ' * digits} | {' ' * len(before)}^")
    return frame


def _start(length: int, column: int) -> int:
    if length <= LINE_CHARACTERS_MAX:
        return 0
    return max(0, min(column - LINE_CHARACTERS_MAX // 2, length - LINE_CHARACTERS_MAX))
