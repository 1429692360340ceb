"""What was found in the text of a script, together with what came of running it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from services.executor.runtime.jobs import CheckResult, CodeError, CodeWarning, Limits

# Reading 256 KiB takes 0.3 s on an idle machine; somebody waits for the answer, and running the script has to follow.
READ_LIMITS: Final = Limits(wall_ms=4_000, cpu_ms=2_000)
# A worker that user code has taken over may send anything.
_WARNINGS_MAX: Final = 50
_TEXT_CHARS_MAX: Final = 1_000
_POSITION_MAX: Final = 2**31 - 1

_BATCH: Final = "onBatch"
# What V8 says where it has nothing to say.
_GENERIC: Final = "Invalid or unexpected token"


@dataclass(frozen=True, slots=True)
class Syntax:
    """What the parser has against a script. `at_end` where it ends too early, which V8 finds in what we put around."""

    message: str
    line: int
    column: int
    generic: bool
    at_end: bool


@dataclass(frozen=True, slots=True)
class Meant:
    """A function whose name is nearly a handler's. `used` where the script itself refers to it."""

    name: str
    handler: str
    line: int
    column: int
    used: bool


@dataclass(frozen=True, slots=True)
class Findings:
    """What check.js says of a script."""

    warnings: list[CodeWarning] = field(default_factory=list)
    meant: list[Meant] = field(default_factory=list)
    syntax: Syntax | None = None
    unread: str | None = None

    def result(self, handlers: list[str]) -> CheckResult:
        """For a script that runs and defines these handlers."""
        unread = self.unread if self.syntax is None else f"{self.syntax.message} (line {self.syntax.line})"
        warnings = [*self._about_handlers(handlers), *self.warnings]
        return CheckResult(handlers, None, warnings[:_WARNINGS_MAX], unread)

    def clearest(self, error: CodeError) -> CodeError:
        """Of what V8 and the parser say of a script that does not compile, that which shows where the mistake is.

        V8 reads the script inside our brackets: it knows better words, but what is wrong with a bracket it finds late.
        """
        syntax = self.syntax
        if syntax is None or error.compiled:
            return error
        theirs, ours = (error.line, error.column or 0), (syntax.line, syntax.column)
        vague = error.message.endswith(_GENERIC) and not syntax.generic
        if error.line is not None and (theirs < ours or (theirs == ours and not syntax.at_end and not vague)):
            return error
        return CodeError(f"SyntaxError: {syntax.message}", syntax.line, syntax.column, compiled=False)

    def _about_handlers(self, handlers: list[str]) -> list[CodeWarning]:
        meant = [one for one in self.meant if one.handler not in handlers]
        if not handlers:
            return [_no_handler(meant)]
        found = [_misnamed(one) for one in meant if not one.used]
        return [_BATCH_ONLY, *found] if handlers == [_BATCH] else found


def read_findings(found: Any) -> Findings:
    """Out of the JSON that a worker has sent."""
    try:
        if "syntax" in found:
            return Findings(syntax=_syntax(found["syntax"]))
        if "failed" in found:
            return Findings(unread=_text(found["failed"]))
        warnings = [
            CodeWarning(_text(one["rule"]), _text(one["message"]), *_place(one))
            for one in found["warnings"][:_WARNINGS_MAX]
        ]
        return Findings(warnings, [_meant(one) for one in found["meant"][:_WARNINGS_MAX]])
    except (KeyError, TypeError, ValueError) as error:
        return Findings(unread=f"the worker sent no findings: {type(error).__name__}")


def _syntax(found: Any) -> Syntax:
    return Syntax(_text(found["message"]), *_place(found), bool(found["generic"]), bool(found["atEnd"]))


def _meant(found: Any) -> Meant:
    return Meant(_text(found["name"]), _text(found["handler"]), *_place(found), bool(found["references"]))


def _text(value: Any) -> str:
    return str(value)[:_TEXT_CHARS_MAX]


def _place(found: Any) -> tuple[int, int]:
    line, column = int(found["line"]), int(found["column"])
    return min(max(line, 0), _POSITION_MAX), min(max(column, 0), _POSITION_MAX)


def _no_handler(meant: list[Meant]) -> CodeWarning:
    if meant:
        one = meant[0]
        message = (
            f"The code defines no handler, so every event will fail as unsupported: did you mean {one.handler} "
            f"where it says {one.name}?"
        )
        return CodeWarning("no-handler", message, one.line, one.column)
    message = (
        "The code defines no handler, so every event will fail as unsupported: define onTrack, onIdentify, onPage, "
        "onScreen, onGroup, onAlias or onDelete."
    )
    return CodeWarning("no-handler", message)


def _misnamed(one: Meant) -> CodeWarning:
    message = f"{one.name} is no handler, so nothing calls it: did you mean {one.handler}?"
    return CodeWarning("misnamed-handler", message, one.line, one.column)


_BATCH_ONLY: Final = CodeWarning(
    "batch-only",
    "The code defines onBatch alone, but events also come singly: define the handlers of their types, such as onTrack, "
    "as well.",
)
