"""onward functions"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from cyclopts import App

from cli.confirmation import Yes, confirm
from cli.failures import CommandError, UsageError
from cli.labels import changed_labels, labels_text
from cli.options import DEFAULTS, Options
from cli.output import (
    Cell,
    last_part,
    print_json,
    print_record,
    print_table,
    say,
    say_code,
    tell,
    tell_list,
    warn,
    when,
)
from cli.paging import collect, paged
from cli.session import Session, as_id
from cli.setting_values import TYPE_WORDS, parse_definitions
from kit.errors import InvalidArgument
from kit.ids import uuid7
from kit.publisher.events import TYPES as EVENT_TYPES
from onward.registry.v1 import function_service_pb2 as pb
from onward.registry.v1 import function_service_pb2_grpc as pb_grpc
from onward.registry.v1 import resources_pb2

app = App(name="functions", help="Write, save, compare and deploy functions.")
for command, place, description in (
    ("test", "trials:try_function", "Run code once on the server against an event, with test values."),
    ("run-local", "trials:run_local", "Run code once on this machine against an event, without any server."),
    ("types", "trials:types", "Print the types of all that functions find, for editors."),
    ("versions", "versions:versions", "List a function's versions, newest first."),
    ("diff", "versions:diff", "Show what changed between two versions."),
    (
        "restore",
        "versions:restore",
        "Save an older version as the newest one and, with --deploy, have destinations run it.",
    ),
    (
        "deployment",
        "versions:deployment",
        "Show which version each destination runs, and which executors have the last change.",
    ),
):
    # As in cli.main: the line here would hide the command's own help, with its example.
    asked = command in sys.argv[2:3]
    app.command(f"cli.commands.{place}", name=command, help=None if asked else description)

# The handler of several events at once.
BATCH_HANDLER = "onBatch"
COLUMNS = ("function", ">version", "~handles", "changed")

# The registry's own limit, told before anything is sent.
CODE_BYTES_MAX = 256 * 1024


def function_stub(session: Session) -> pb_grpc.FunctionServiceAsyncStub:
    """Give the stub of the registry's FunctionService."""
    stub: pb_grpc.FunctionServiceAsyncStub = pb_grpc.FunctionServiceStub(session.as_member("registry"))
    return stub


@app.command
async def templates(name: str = "", /, *, options: Options = DEFAULTS) -> None:
    """List the templates that a function can start from, or print the code of one.

    Example: onward functions templates http-post

    Parameters
    ----------
    name
        Print this one's code.
    """
    async with Session(options) as session:
        stub: pb_grpc.FunctionServiceAsyncStub = pb_grpc.FunctionServiceStub(session.as_anyone())
        found = list((await stub.ListTemplates(pb.ListTemplatesRequest())).templates)
    if name:
        found = [one for one in found if one.name == name]
        if not found:
            raise UsageError(f"there is no template {name!r}: `onward functions templates` lists them")
    if options.json:
        print_json({"templates": found})
    elif name:
        say_code(found[0].code)
    else:
        print_table(("template", "~description"), [(one.name, one.description) for one in found])


@app.command
async def create(
    name: str, /, *, template: str = "default", description: str = "", options: Options = DEFAULTS
) -> None:
    """Create a function whose first version comes from a template.

    Example: onward functions create alerts --template http-post

    Parameters
    ----------
    name
        Its id, such as alerts, or a display name that an id is made from.
    template
        One of `onward functions templates`.
    description
        For people.
    """
    async with Session(options) as session:
        request = pb.CreateFunctionRequest(
            parent=session.workspace_name,
            function_id=as_id(name),
            display_name=name,
            description=description,
            template=template,
            request_id=uuid7(),
        )
        made = await function_stub(session).CreateFunction(request)
    if options.json:
        print_json(made)
        return
    function = last_part(made.function.name)
    # Not the name of a file that may well be there with code of the user's own.
    file = f"{function}.v1.js"
    say(f"Created the function {function}, version 1, from the template {template}.")
    say(f"Settings: {_definition_names(made.version)}")
    say(f"Its code: onward functions show {function} --code > {file}")
    say(f"Next:     onward functions save {function} {file}, or: onward destinations connect {function} SOURCE")


@app.command
async def save(
    name: str,
    file: Path,
    /,
    *,
    definitions: Path | None = None,
    deploy: str = "",
    timeout_ms: int = 0,
    options: Options = DEFAULTS,
) -> None:
    """Save code as the next version and, with --deploy, have destinations run it.

    Nothing that runs changes without --deploy. A refused deployment makes no
    version.

    Example: onward functions save alerts alerts.js --deploy all

    Parameters
    ----------
    name
        The function's id.
    file
        The JavaScript.
    definitions
        Setting definitions, a JSON array such as [{"name": "endpoint", "required": true}, {"name": "events",
        "type": "list"}]; types are string, boolean, list and map. The newest version's where absent.
    deploy
        all, or ids of destinations separated by commas.
    timeout_ms
        Wall time that one attempt may take, 1000 to 60000.
    """
    code = _read_text(file)
    async with Session(options) as session:
        request = _save_request(code, definitions, timeout_ms)
        request.name = session.name("functions", name)
        if deploy:
            request.deploy_to.CopyFrom(parse_target(session, deploy))
        try:
            saved = await function_stub(session).SaveFunction(request)
        except InvalidArgument as error:
            raise _located(error, file) from error
    if options.json:
        print_json(saved)
        return
    _report_saved(name, file, saved)


def _save_request(code: str, definitions: Path | None, timeout_ms: int) -> pb.SaveFunctionRequest:
    request = pb.SaveFunctionRequest(code=code, timeout_ms=timeout_ms, request_id=uuid7())
    if definitions is None:
        request.keep_definitions = True
    else:
        request.definitions.extend(parse_definitions(_read_text(definitions), str(definitions)))
    return request


def _located(error: InvalidArgument, file: Path) -> Exception:
    """Say where in the user's own file a syntax error is, in the form that editors understand."""
    if error.reason != "SYNTAX_ERROR":
        return error
    told = error.metadata
    place = f"{file}:{told.get('line', '0')}:{told.get('column', '0')}"
    return CommandError(f"{place}: {told.get('message', error.message)}: correct it and save again; nothing was saved")


def _report_saved(name: str, file: Path, saved: pb.SaveFunctionResponse) -> None:
    version = saved.version
    say(f"Saved {name} as version {version.number}; it handles {handler_words(version.handlers)}.")
    for warning in saved.warnings:
        place = f"{file}:{warning.line}:{warning.column or 1}" if warning.line else str(file)
        warn(f"{place}: {warning.message} ({warning.rule})")
    if version.deployed_to:
        say(f"Runs at: {', '.join(map(last_part, version.deployed_to))}")
    else:
        say(f"No destination runs this version yet: onward functions deploy {name}")


@app.command
async def deploy(name: str, /, *, version: int = 0, to: str = "all", options: Options = DEFAULTS) -> None:
    """Have destinations that exist run a version.

    Example: onward functions deploy alerts --version 2 --to team-a,team-b

    Parameters
    ----------
    name
        The function's id.
    version
        Its number; the newest where absent.
    to
        all, or ids of destinations separated by commas.
    """
    async with Session(options) as session:
        stub, function = function_stub(session), session.name("functions", name)
        request = pb.DeployVersionRequest(
            name=f"{function}/versions/{version or 'latest'}", target=parse_target(session, to), request_id=uuid7()
        )
        deployed = await stub.DeployVersion(request)
    if options.json:
        print_json(deployed)
        return
    destinations = ", ".join(map(last_part, deployed.version.deployed_to)) or "no destination, since it has none"
    say(f"Version {deployed.version.number} of {name} runs at: {destinations}")


@app.command(name="list")
async def list_functions(*, deleted: bool = False, options: Options = DEFAULTS) -> None:
    """List the functions of the workspace. Of those whose code you may not view, only names are told.

    Example: onward functions list

    Parameters
    ----------
    deleted
        Deleted ones, too; for owners and auditors.
    """
    async with Session(options) as session:
        request = pb.ListFunctionsRequest(parent=session.workspace_name, show_deleted=deleted)
        found = await collect(paged(function_stub(session).ListFunctions, request), "functions")
    columns = (*COLUMNS, "deleted") if deleted else COLUMNS
    rows = partial(_row, deleted=deleted)
    empty = "There is none that you may see: `onward functions create NAME` makes one."
    tell_list("functions", found, columns, rows, empty=empty, as_json=options.json)


def _row(one: resources_pb2.Function, *, deleted: bool) -> tuple[Cell, ...]:
    handles = handler_words(one.handlers) if one.latest_version else "(you see its name only)"
    row = (last_part(one.name), one.latest_version or None, handles, when(one.update_time))
    return (*row, when(one.delete_time)) if deleted else row


@app.command
async def update(
    name: str,
    /,
    *,
    display_name: str | None = None,
    description: str | None = None,
    label: list[str] | None = None,
    no_labels: bool = False,
    options: Options = DEFAULTS,
) -> None:
    """Change a function's name, description and labels; its code is changed by `onward functions save`.

    Example: onward functions update alerts \\
        --description "Tells the team about orders"

    Parameters
    ----------
    name
        The function's id.
    display_name
        For people.
    description
        For people.
    label
        NAME=VALUE; may be repeated. Those that are given are all labels from now on.
    no_labels
        Take all labels away.
    """
    otherwise = display_name if display_name is not None else description
    labels = changed_labels(label, none=no_labels, otherwise=otherwise)
    async with Session(options) as session:
        request = pb.UpdateFunctionRequest(
            name=session.name("functions", name),
            display_name=display_name,
            description=description,
            labels=labels,
            request_id=uuid7(),
        )
        answer = await function_stub(session).UpdateFunction(request)
    tell(answer, f"Changed the function {name}.", as_json=options.json)


@app.command
async def delete(name: str, /, *, disconnect: bool = False, yes: Yes = False, options: Options = DEFAULTS) -> None:
    """Delete a function. Refused while destinations are connected. Owners and auditors still see its history.

    Example: onward functions delete alerts --disconnect

    Parameters
    ----------
    name
        The function's id, which is never given again.
    disconnect
        Disconnect its destinations, too.
    """
    async with Session(options) as session:
        request = pb.DeleteFunctionRequest(
            name=session.name("functions", name), disconnect=disconnect, request_id=uuid7()
        )
        confirm(f"Delete the function {name}{' and disconnect its destinations' if disconnect else ''}?", yes=yes)
        deleted = await function_stub(session).DeleteFunction(request)
    tell(deleted, f"Deleted the function {name}; its id is not given again.", as_json=options.json)


@app.command
async def show(name: str, /, *, version: int = 0, code: bool = False, options: Options = DEFAULTS) -> None:
    """Show a function with its settings, or print its code.

    Example: onward functions show alerts --code > alerts.js

    Parameters
    ----------
    name
        The function's id.
    version
        The number of a version; the newest where absent.
    code
        Print the code and nothing else.
    """
    async with Session(options) as session:
        stub, full_name = function_stub(session), session.name("functions", name)
        function = (await stub.GetFunction(pb.GetFunctionRequest(name=full_name))).function
        wanted = f"{full_name}/versions/{version or function.latest_version}"
        shown = (await stub.GetVersion(pb.GetVersionRequest(name=wanted))).version
    if options.json:
        print_json({"function": function, "version": shown})
    elif code:
        say_code(shown.code)
    else:
        _print_function(function, shown)


def _print_function(function: resources_pb2.Function, version: resources_pb2.Version) -> None:
    print_record(
        [
            ("function", last_part(function.name)),
            ("display name", function.display_name),
            ("description", function.description),
            ("labels", labels_text(function.labels)),
            *([("deleted", when(function.delete_time))] if function.HasField("delete_time") else ()),
            ("version", f"{version.number} of {function.latest_version}, saved {when(version.create_time)}"),
            ("saved by", version.principal),
            ("handles", handler_words(version.handlers)),
            ("timeout", f"{version.timeout_ms} ms"),
            ("runs at", ", ".join(map(last_part, version.deployed_to))),
            ("code", f"{len(version.code.encode())} bytes, SHA-256 {version.code_sha256[:12]}…"),
        ]
    )
    rows = [(one.name, TYPE_WORDS.get(one.type, ""), _traits(one), one.description) for one in version.definitions]
    say()
    print_table(("setting", "type", "", "~description"), rows, empty="It has no settings.")


def _traits(definition: resources_pb2.SettingDefinition) -> str:
    traits = [("required", definition.required), ("encrypted", definition.encrypted)]
    return ", ".join(word for word, holds in traits if holds) or " "


def parse_target(session: Session, text: str) -> pb.DeploymentTarget:
    if text == "all":
        return pb.DeploymentTarget(all=True)
    names = [session.name("destinations", part.strip()) for part in text.split(",") if part.strip()]
    if not names:
        raise UsageError("no destination is named: write all, or ids separated by commas")
    return pb.DeploymentTarget(named=pb.DestinationNames(names=names))


def handler_words(handlers: Iterable[str]) -> str:
    """Give the types of events: onTrack, onPage and onBatch are "page, track, and batches"."""
    found = set(handlers)
    words = sorted(one.removeprefix("on").lower() for one in found - {BATCH_HANDLER})
    types = "all types" if len(words) == len(EVENT_TYPES) else ", ".join(words)
    if BATCH_HANDLER in found:
        return f"{types}, and batches" if types else "batches only"
    return types or "no type of event"


def _definition_names(version: resources_pb2.Version) -> str:
    names = [f"{one.name} (required)" if one.required else one.name for one in version.definitions]
    return ", ".join(names) or "none"


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > CODE_BYTES_MAX:
            raise UsageError(f"{path} has more than {CODE_BYTES_MAX} bytes, the most that a version may have")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text") from None
