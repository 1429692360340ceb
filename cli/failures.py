"""What a command may end with: exit codes, and one line that says what is wrong and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import IntEnum

from kit.embedded.errors import EmbeddedError
from kit.errors import InvalidToken, NotFound, OnwardError


class Exit(IntEnum):
    """Exit codes, stable, so that scripts may rely on them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_FOUND = 4
    # 128 + SIGINT, as shells have it.
    INTERRUPTED = 130


class CommandError(Exception):
    """A command can't go on; the message is one line that says what to do."""

    def __init__(self, message: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.code = code


class UsageError(CommandError):
    """The command line, the environment or a file that it names can't be used."""

    def __init__(self, message: str) -> None:
        super().__init__(message, Exit.USAGE)


# What kit.rpc says of an error that gRPC itself made, not a service of ours.
_FOREIGN = re.compile(r"onward\.(\w+)\.v1\.\w+/\w+ failed with (\w+)\.")
# Nobody answered, as opposed to a service that says that something it needs is away.
_SILENT = ("UNAVAILABLE", "DEADLINE_EXCEEDED")

_HINTS: dict[type[OnwardError], str] = {
    InvalidToken: "Name another data folder with --data, or another token with --token.",
    NotFound: "`onward %s list` shows what there is.",
}


def explain(error: BaseException) -> tuple[str, Exit] | None:
    """Give the line and the exit code for what a command raised; None for a fault of our own."""
    match _only(error):
        case CommandError() as refused:
            return str(refused), refused.code
        case OnwardError() as refused:
            return _explain_service(refused)
        case EmbeddedError() as refused:
            return str(refused), Exit.FAILED
        case _:
            return None


def _only(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _explain_service(error: OnwardError) -> tuple[str, Exit]:
    foreign = _FOREIGN.fullmatch(error.message)
    if foreign and foreign[2] in _SILENT:
        service = foreign[1]
        return (
            f"the {service} service does not answer: start everything with `onward up`,"
            f" or name another data folder with --data or another address with --{service}"
            " (and its authority with --ca)",
            Exit.UNREACHABLE,
        )
    if error.metadata.get("tls") == "refused":
        return f"{error.message} Name the file of the authority that signed it with --ca.", Exit.UNREACHABLE
    line = " ".join([error.message, *_details(error)])
    return line, Exit.NOT_FOUND if isinstance(error, NotFound) else Exit.FAILED


def _details(error: OnwardError) -> Iterator[str]:
    """Tell what the message leaves out."""
    for field, description in error.violations:
        if description not in error.message:
            yield f"{field}: {description}."
    if isinstance(error, NotFound):
        kind = _kind_of(error.metadata.get("resource", ""))
        if kind:
            yield _HINTS[NotFound] % kind
    elif isinstance(error, InvalidToken):
        yield _HINTS[InvalidToken]
    if error.retry_after_s is not None:
        yield f"Try again in {max(1, round(error.retry_after_s))} s."


def _kind_of(resource: str) -> str:
    """Give the noun whose `list` shows resources of this kind: of workspaces/w/functions/f, "functions"."""
    parts = resource.split("/")
    kind = parts[2] if len(parts) > 2 else parts[0]
    return kind if kind in ("workspaces", "functions", "sources", "destinations", "deliveries") else ""
