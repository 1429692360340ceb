"""onward functions versions, diff, restore, deployment"""

from __future__ import annotations

import sys

from rich.text import Text

from cli.commands.functions import function_stub, handler_words, parse_target
from cli.options import DEFAULTS, Options
from cli.output import last_part, print_json, print_table, say, say_line, shown, tell, tell_list, warn, when
from cli.paging import collect, paged
from cli.session import Session
from kit.ids import uuid7
from onward.registry.v1 import function_service_pb2 as pb
from onward.registry.v1 import resources_pb2

COLUMNS = (">version", "saved", "by", "~handles", "~runs at")
# As git colours them.
_STYLES = (("@@", "cyan"), ("+++", "bold"), ("---", "bold"), ("+", "green"), ("-", "red"))


async def versions(name: str, /, *, options: Options = DEFAULTS) -> None:
    """List the versions of a function, newest first.

    Example: onward functions versions alerts

    Parameters
    ----------
    name
        The function's id.
    """
    async with Session(options) as session:
        request = pb.ListVersionsRequest(parent=session.name("functions", name))
        found = await collect(paged(function_stub(session).ListVersions, request), "versions")
    tell_list("versions", found, COLUMNS, _row, empty="There is none.", as_json=options.json)


def _row(one: resources_pb2.Version) -> tuple[str | int, ...]:
    runs_at = ", ".join(map(last_part, one.deployed_to))
    return (one.number, when(one.create_time), one.principal, handler_words(one.handlers), runs_at)


async def diff(name: str, older: int = 0, newer: int = 0, /, *, options: Options = DEFAULTS) -> None:
    """Show what changed between two versions: code, setting definitions and timeout, as unified diffs.

    Example: onward functions diff alerts 2 5

    Parameters
    ----------
    name
        The function's id.
    older
        The older version; the one before the newer where absent.
    newer
        The newer version; the newest where absent.
    """
    async with Session(options) as session:
        request = pb.DiffVersionsRequest(name=session.name("functions", name), to=newer)
        # A keyword of Python's.
        setattr(request, "from", older)
        found = await function_stub(session).DiffVersions(request)
    if options.json:
        print_json(found)
        return
    for text in (found.code_diff, found.definitions_diff):
        print_diff(text)
    if not found.code_diff and not found.definitions_diff:
        say(f"Versions {getattr(found, 'from')} and {found.to} of {name} are the same.")
    if found.truncated:
        warn(
            "the diff is cut, since it is too large; `onward functions show --version N --code` prints all of a version"
        )


def print_diff(text: str) -> None:
    """Print a diff: exactly to a file or a program, with colours and escapes to a terminal."""
    if not sys.stdout.isatty():
        sys.stdout.write(text)
        return
    for line in text.splitlines():
        style = next((style for start, style in _STYLES if line.startswith(start)), "")
        say_line(Text(shown(line.expandtabs()), style=style))


async def restore(name: str, version: int, /, *, deploy: str = "", options: Options = DEFAULTS) -> None:
    """Save an older version as the newest one and, with --deploy, have destinations run it.

    Example: onward functions restore alerts 2 --deploy all

    Parameters
    ----------
    name
        The function's id.
    version
        The older version's number.
    deploy
        all, or ids of destinations separated by commas. A refused deployment makes no version.
    """
    async with Session(options) as session:
        request = pb.RestoreVersionRequest(
            name=f"{session.name('functions', name)}/versions/{version}", request_id=uuid7()
        )
        if deploy:
            request.deploy_to.CopyFrom(parse_target(session, deploy))
        answer = await function_stub(session).RestoreVersion(request)
    number = answer.version.number
    done = f"Version {number} of {name} is the newest already." if number == version else ""
    runs_at = ", ".join(map(last_part, answer.version.deployed_to))
    tell(
        answer,
        done or f"Restored version {version} of {name} as version {number}.",
        f"Runs at: {runs_at}" if runs_at else f"No destination runs this version yet: onward functions deploy {name}",
        as_json=options.json,
    )


async def deployment(name: str, /, *, options: Options = DEFAULTS) -> None:
    """Show which version each destination of a function runs, and which executors have the last change.

    Example: onward functions deployment alerts

    Parameters
    ----------
    name
        The function's id.
    """
    async with Session(options) as session:
        request = pb.GetDeploymentRequest(name=session.name("functions", name))
        found = await function_stub(session).GetDeployment(request)
    if options.json:
        print_json(found)
        return
    rows = [
        (last_part(one.destination), one.version, "enabled" if one.enabled else "disabled")
        for one in found.destinations
    ]
    print_table(("destination", ">version", "state"), rows, empty=f"No destination runs {name}.")
    executors = [(one.executor, "yes" if one.current else "not yet", one.position) for one in found.executors]
    empty = "No executor has reported within the last seconds: does one run?"
    print_table(("executor", "has the last change", ">position"), executors, empty=empty)
