"""What is wrong with a condition, and where."""

from __future__ import annotations

# Enough to recognise a token, little enough for one line on a screen.
_QUOTED_MAX = 40


class FqlError(ValueError):
    """A text that is no condition; `line` and `column` count from 1, in characters."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(f"line {line}, column {column}: {message}")
        self.message = message
        self.line = line
        self.column = column


def error_at(text: str, offset: int, message: str) -> FqlError:
    """Turn an offset into line and column."""
    line_start = text.rfind("\n", 0, offset) + 1
    return FqlError(message, text.count("\n", 0, offset) + 1, offset - line_start + 1)


def quoted(source: str) -> str:
    """Show a piece of the text within a message: on one line, and not too long."""
    shown = source if len(source) <= _QUOTED_MAX else f"{source[:_QUOTED_MAX]}..."
    return f"`{shown}`" if shown.isprintable() else f"`{shown!r}`"
