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

_TOKEN_HINT = "Name another data folder with --data, or another token with --token."  # noqa: S105  # words


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
        command = _list_command(error.metadata.get("resource", ""))
        if command:
            yield f"`onward {command}` shows what there is."
    elif isinstance(error, InvalidToken):
        yield _TOKEN_HINT
    if error.retry_after_s is not None:
        yield f"Try again in {max(1, round(error.retry_after_s))} s."


# By the collection that a resource name ends in.
_LISTS = {
    "workspaces": "workspaces list",
    "members": "members list",
    "roleBindings": "roles list",
    "tokens": "tokens list",
    "functions": "functions list",
    "versions": "functions versions {parent}",
    "sources": "sources list",
    "writeKeys": "sources keys list {parent}",
    "destinations": "destinations list",
    "filters": "filters list",
    "deliveries": "deliveries list",
}


def _list_command(resource: str) -> str:
    """Give the command that shows resources of this kind: of workspaces/w/functions/f, "functions list"."""
    parts = resource.split("/")
    command = _LISTS.get(parts[-2] if len(parts) > 1 else "", "")
    if len(parts) <= 4:
        return command
    parent_kind, parent = parts[-4:-2]
    if parts[-2] == "filters":
        return f"{command} --{parent_kind.removesuffix('s')} {parent}"
    return command.format(parent=parent)
