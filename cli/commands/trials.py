"""onward functions test, run-local, types"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cli.commands.functions import function_stub
from cli.commands.samples import sample_of
from cli.failures import Exit, UsageError
from cli.local_sandbox import DEFAULT_TIMEOUT_MS, RUNTIME_DIR, WORKSPACE, LocalSandbox
from cli.options import DEFAULTS, LOCAL_DEFAULTS, LocalOptions, Options
from cli.output import note, print_json, print_json_line, say_code, warn
from cli.run_text import Code, print_report, went_well
from cli.session import Session
from cli.trial_input import TIMEOUT_MAX_MS, TrialInput
from cli.watching import watch
from onward.executor.v1 import execution_service_pb2 as pb
from onward.executor.v1 import execution_service_pb2_grpc as pb_grpc
from onward.registry.v1 import function_service_pb2 as function_pb
from onward.registry.v1 import resources_pb2

# What comes before and after the function on a machine under load.
SLACK_S = 20.0
TYPES_FILE = RUNTIME_DIR / "onward.d.ts"

TYPES_HINT = (
    "In a function's file, with this beside it as onward.d.ts:",
    "  // @ts-check",
    '  /// <reference path="./onward.d.ts" />',
    "  /** @param {TrackEvent} event @param {OnwardSettings} settings */",
    "  async function onTrack(event, settings) {",
)
OPENED_BY_OPERATOR = "Addresses that are not public are opened by the operator: onward workspaces allow-egress RANGE"
OPENED_BY_OPTION = "Addresses that are not public are closed here: --allow-private opens those of private networks."

_VERSION = re.compile(r"([a-z0-9-]+)@(\d{1,9})")

Event = Annotated[str, Parameter(allow_leading_hyphen=True)]
Set = Annotated[list[str] | None, Parameter(name="--set")]
Verbose = Annotated[bool, Parameter(name=("--verbose", "-v"))]


def execution_stub(session: Session) -> pb_grpc.ExecutionServiceAsyncStub:
    """Give the stub of the executor's ExecutionService."""
    stub: pb_grpc.ExecutionServiceAsyncStub = pb_grpc.ExecutionServiceStub(session.as_member("executor"))
    return stub


async def try_function(
    target: str,
    /,
    *,
    event: Event = "",
    sample: str = "",
    settings: Set = None,
    definitions: Path | None = None,
    function: str = "",
    timeout_ms: int = 0,
    verbose: Verbose = False,
    watch: bool = False,
    options: Options = DEFAULTS,
) -> int:
    """Run code once on the server against an event: a file, or what a function has saved. Requests really leave.

    It runs with the limits and the address ranges of the workspace, and nothing
    of it is kept. The exit code is 0 where the event would be delivered or
    filtered, 1 where the handler failed.

    Example: onward functions test alerts.js --event event.json \\
        --set endpoint=https://api.example.com --watch

    Parameters
    ----------
    target
        A file with JavaScript; or FUNCTION for its newest version, or FUNCTION@VERSION.
    event
        A file with one event, or with an array of them for onBatch; - is stdin.
    sample
        Instead of --event: SOURCE for its last event, or SOURCE:MESSAGE_ID.
    settings
        A test value: name=text, name=@file, or name:=json; may be repeated. It is not stored.
    definitions
        Setting definitions of the file, as `onward functions save` takes them; what is defined as encrypted is masked.
    function
        The function that the file is code of: with its definitions, and for those who may change only some functions.
    timeout_ms
        Wall time that the file's code may take, 1000 to 60000.
    verbose
        Show headers and bodies of requests.
    watch
        Run again whenever a file is saved, until Ctrl-C.
    """
    path = file_of(target)
    given = TrialInput.of(path, event, definitions, settings or [], timeout_ms)
    check_event(event, sample)
    async with Session(options) as session:
        stub = execution_stub(session)

        async def run() -> int:
            name, known, code = await _meant(session, target, function, given)
            text = (await sample_of(session, sample)).event if sample else ""
            request = given.request(name, text, known)
            if (version := version_of(target)) and path is None:
                request.version = version
            limit_ms = (timeout_ms or DEFAULT_TIMEOUT_MS) if path else TIMEOUT_MAX_MS
            answer = await stub.TestFunction(request, timeout=limit_ms / 1000 + SLACK_S)
            told = Told(options, OPENED_BY_OPERATOR, verbose=verbose, streams=watch)
            return told(answer, code)

        return await _once_or_more(run, given, watching=watch, options=options)


async def run_local(
    file: Path,
    /,
    *,
    event: Event,
    settings: Set = None,
    definitions: Path | None = None,
    timeout_ms: int = 0,
    allow_private: bool = False,
    verbose: Verbose = False,
    watch: bool = False,
    options: LocalOptions = LOCAL_DEFAULTS,
) -> int:
    """Run code once on this machine against an event, without any server. Requests really leave.

    In the same sandbox and with the same limits as on a server, but with the
    addresses that this machine reaches. The exit code is 0 where the event would
    be delivered or filtered, 1 where the handler failed.

    Example: onward functions run-local alerts.js --event event.json \\
        --set endpoint=https://api.example.com

    Parameters
    ----------
    file
        A file with JavaScript.
    event
        A file with one event, or with an array of them for onBatch; - is stdin.
    settings
        A test value: name=text, name=@file, or name:=json; may be repeated.
    definitions
        Setting definitions, as `onward functions save` takes them; what is defined as encrypted is masked.
    timeout_ms
        Wall time that the code may take, 1000 to 60000.
    allow_private
        Open 127.0.0.1 and private networks to it.
    verbose
        Show headers and bodies of requests.
    watch
        Run again whenever a file is saved, until Ctrl-C.
    """
    given = TrialInput.of(file, event, definitions, settings or [], timeout_ms)
    async with LocalSandbox(allow_private=allow_private) as sandbox:
        if sandbox.degradations:
            told = "; ".join(sandbox.degradations)
            warn(f"the sandbox is not whole on this machine, so run no code that you do not trust ({told})")

        async def run() -> int:
            request = given.request(WORKSPACE)
            answer = pb.TestFunctionResponse(report=await sandbox.run(request))
            told = Told(options, "" if allow_private else OPENED_BY_OPTION, verbose=verbose, streams=watch)
            return told(answer, Code(file.name, request.code))

        return await _once_or_more(run, given, watching=watch, options=options)


async def types(*, options: LocalOptions = LOCAL_DEFAULTS) -> None:
    """Print the types of all that functions find, for editors: event, settings, fetch, crypto, cache and the rest.

    Example: onward functions types > onward.d.ts
    """
    try:
        text = TYPES_FILE.read_text()
    except OSError:
        raise UsageError(f"there are no types in {TYPES_FILE}: run `make setup`, which makes them") from None
    if options.json:
        print_json({"types": text})
    else:
        say_code(text)
        for line in TYPES_HINT:
            note(line)


def file_of(target: str) -> Path | None:
    """The file that is meant, None for a function of the server's."""
    path = Path(target)
    if path.is_file() or path.suffix in (".js", ".mjs", ".cjs") or "/" in target:
        return path
    return None


def version_of(target: str) -> int:
    found = _VERSION.fullmatch(target)
    return int(found[2]) if found else 0


def check_event(event: str, sample: str) -> None:
    if bool(event) == bool(sample):
        raise UsageError("name the event: --event FILE, or --sample SOURCE for the last one that a source got")


async def _meant(
    session: Session, target: str, function: str, given: TrialInput
) -> tuple[str, list[resources_pb2.SettingDefinition], Code]:
    """The resource to ask about, the definitions that the server has, and the code as people know it."""
    if given.code is None:
        name = session.name("functions", target.partition("@")[0])
        version = await _saved(session, name, version_of(target))
        return name, [], Code(target, version.code, version.number)
    code = Code(given.code.name, given.code_text())
    if not function:
        return session.workspace_name, [], code
    name = session.name("functions", function)
    known = [] if given.definitions else list((await _saved(session, name, 0)).definitions)
    return name, known, code


async def _saved(session: Session, function: str, number: int) -> resources_pb2.Version:
    request = function_pb.GetVersionRequest(name=f"{function}/versions/{number or 'latest'}")
    return (await function_stub(session).GetVersion(request)).version


async def _once_or_more(
    run: Callable[[], Awaitable[int]], given: TrialInput, *, watching: bool, options: Options | LocalOptions
) -> int:
    if not watching:
        return await run()
    if not given.files:
        raise UsageError("--watch looks at files, and none was named: give FILE or --event FILE")
    await watch(given.files, run, quiet=options.json)
    return Exit.OK


@dataclass(frozen=True)
class Told:
    """How a run is printed: for people, or for programs, with a line of JSON each where there may be more."""

    options: Options | LocalOptions
    if_denied: str
    _: KW_ONLY
    verbose: bool
    streams: bool

    def __call__(self, answer: pb.TestFunctionResponse, code: Code) -> int:
        """Print it, and give the exit code that it means."""
        if self.options.json:
            (print_json_line if self.streams else print_json)(answer)
        else:
            print_report(answer.report, code, verbose=self.verbose, if_denied=self.if_denied)
        return Exit.OK if went_well(answer.report) else Exit.FAILED
