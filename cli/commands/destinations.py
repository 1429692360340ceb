"""onward destinations"""

from __future__ import annotations

import sys

from cyclopts import App

from cli.commands.functions import BATCH_HANDLER, function_stub
from cli.confirmation import Yes, confirm
from cli.delivery_policies import NO_CHANGE, PolicyChange, policy_lines
from cli.failures import CommandError
from cli.options import DEFAULTS, Options
from cli.output import last_part, print_json, print_record, print_table, say, tell, tell_list, warn, when
from cli.paging import collect, paged
from cli.session import Session, as_id
from cli.setting_values import parse_assignments, shown
from cli.skipped_events import ask_about_skipped, start_from
from kit.errors import NotFound, PermissionDenied, WrongState
from kit.ids import uuid7
from onward.registry.v1 import destination_service_pb2 as pb
from onward.registry.v1 import destination_service_pb2_grpc as pb_grpc
from onward.registry.v1 import function_service_pb2 as function_pb
from onward.registry.v1 import resources_pb2

app = App(name="destinations", help="Connect functions to sources, set their settings, enable them.")
# As in cli.main: the line here would hide the command's own help, with its example.
_INVOKE = None if sys.argv[2:3] == ["invoke"] else "Have a destination handle one event now."
app.command("cli.commands.invocations:invoke", name="invoke", help=_INVOKE)

COLUMNS = ("destination", "function", ">version", "source", "state")


def destination_stub(session: Session) -> pb_grpc.DestinationServiceAsyncStub:
    """Give the stub of the registry's DestinationService."""
    stub: pb_grpc.DestinationServiceAsyncStub = pb_grpc.DestinationServiceStub(session.as_member("registry"))
    return stub


@app.command
async def connect(
    function: str,
    source: str,
    /,
    *settings: str,
    name: str = "",
    version: int = 0,
    enable: bool = False,
    options: Options = DEFAULTS,
) -> None:
    """Connect a function to a source. The destination starts disabled, unless --enable is given.

    Example: onward destinations connect alerts web \\
        endpoint=https://api.example.com/events apiKey=@key.txt --enable

    Parameters
    ----------
    function
        The function's id.
    source
        The source's id.
    settings
        Values to start with: name=text, name=@file (keeps secrets out of the shell's history; @- is stdin), or
        name:=json for true, false, ["a", "b"] and {"a": "b"}.
    name
        Its id, or a display name; FUNCTION-SOURCE where absent.
    version
        The version to run; the newest where absent.
    enable
        Give it the source's events from now on.
    """
    values = parse_assignments(settings)
    name = name or f"{function}-{source}"
    async with Session(options) as session:
        request = pb.ConnectDestinationRequest(
            source=session.name("sources", source),
            function=session.name("functions", function),
            destination_id=as_id(name),
            display_name=name,
            version=version,
            settings=values,
            request_id=uuid7(),
        )
        destination = await _connected(destination_stub(session), request, enable=enable)
    if options.json:
        print_json({"destination": destination})
        return
    identifier = last_part(destination.name)
    say(f"Connected {function}, version {destination.version}, to {source} as {identifier}.")
    say("It is given every event from now on." if destination.enabled else _how_to_enable(identifier, destination))


async def _connected(
    stub: pb_grpc.DestinationServiceAsyncStub, request: pb.ConnectDestinationRequest, *, enable: bool
) -> resources_pb2.Destination:
    destination = (await stub.ConnectDestination(request)).destination
    return await _enabled(stub, destination) if enable else destination


async def _enabled(
    stub: pb_grpc.DestinationServiceAsyncStub, destination: resources_pb2.Destination
) -> resources_pb2.Destination:
    request = pb.EnableDestinationRequest(name=destination.name, request_id=uuid7())
    try:
        return (await stub.EnableDestination(request)).destination
    except WrongState as error:
        identifier = last_part(destination.name)
        raise CommandError(
            f"the destination {identifier} was made and is kept, but is not enabled. {error.message}"
            f" Next: onward destinations set {identifier} NAME=VALUE, then: onward destinations enable {identifier}"
        ) from error


def _how_to_enable(identifier: str, destination: resources_pb2.Destination) -> str:
    unset = [one.name for one in destination.settings if not one.set]
    told = f" and has no value for {', '.join(unset)}" if unset else ""
    return f"It is disabled{told}. Next: onward destinations enable {identifier}"


@app.command(name="set")
async def set_settings(
    name: str, /, *settings: str, clear: list[str] | None = None, options: Options = DEFAULTS
) -> None:
    """Set values of a destination's settings; those that are not named keep theirs.

    Example: onward destinations set alerts-web \\
        endpoint=https://api.example.com apiKey=@key.txt 'events:=["Signed Up"]'

    Parameters
    ----------
    name
        The destination's id.
    settings
        name=text, name=@file (keeps secrets out of the shell's history; @- is stdin), or name:=json for true, false,
        ["a", "b"] and {"a": "b"}.
    clear
        Name of a setting whose value is removed; may be repeated.
    """
    values = parse_assignments(settings)
    async with Session(options) as session:
        request = pb.SetSettingsRequest(
            name=session.name("destinations", name), set=values, clear=clear or [], request_id=uuid7()
        )
        destination = (await destination_stub(session).SetSettings(request)).destination
    if options.json:
        print_json({"destination": destination})
        return
    _print_settings(destination)
    if not destination.enabled:
        say(f"It is disabled: onward destinations enable {name}")


@app.command
async def enable(name: str, /, *, since: str = "", yes: Yes = False, options: Options = DEFAULTS) -> None:
    """Give the source's events to a destination from now on, and with --since those that it was skipped for.

    Example: onward destinations enable alerts-web --since disabled

    Parameters
    ----------
    name
        The destination's id.
    since
        "disabled" for all that was skipped since it was disabled, "now" for none of it, or a time such as 2h.
        Where absent: "disabled" if it was disabled with --hold, else "now".
    """
    async with Session(options) as session:
        request = pb.EnableDestinationRequest(name=session.name("destinations", name), request_id=uuid7())
        stub = destination_stub(session)
        held = (await stub.GetDestination(pb.GetDestinationRequest(name=request.name))).destination.held
        start_from(request, since or ("disabled" if held else "now"))
        if request.start != resources_pb2.ENABLE_START_NOW:
            await ask_about_skipped(session, request, name, yes=yes)
        destination = (await stub.EnableDestination(request)).destination
    if options.json:
        print_json({"destination": destination})
        return
    say(f"{name} is given every event of {last_part(destination.source)} from now on.")
    if request.start != resources_pb2.ENABLE_START_NOW:
        say("What it was skipped for is replayed: onward replays list")


@app.command
async def disable(name: str, /, *, hold: bool = False, options: Options = DEFAULTS) -> None:
    """Skip, and count, a destination's events from now on.

    Example: onward destinations disable alerts-web --hold

    Parameters
    ----------
    name
        The destination's id.
    hold
        Keep a mark: enabling it begins from here, for as long as the stream keeps events (7 days by default).
    """
    async with Session(options) as session:
        request = pb.DisableDestinationRequest(name=session.name("destinations", name), hold=hold, request_id=uuid7())
        destination = (await destination_stub(session).DisableDestination(request)).destination
    if options.json:
        print_json({"destination": destination})
        return
    held = " Enabling it will begin from here." if hold else ""
    say(f"{name} is disabled: its events are skipped and counted.{held}")


@app.command
async def disconnect(name: str, /, *, yes: Yes = False, options: Options = DEFAULTS) -> None:
    """Remove a destination. What is still to be delivered is given up; what was stays visible.

    Example: onward destinations disconnect alerts-web

    Parameters
    ----------
    name
        The destination's id, which is never given again.
    """
    async with Session(options) as session:
        request = pb.DisconnectDestinationRequest(name=session.name("destinations", name), request_id=uuid7())
        confirm(f"Disconnect {name}? What is still to be delivered is given up.", yes=yes)
        gone = await destination_stub(session).DisconnectDestination(request)
    tell(gone, f"Disconnected {name}; its deliveries stay visible.", as_json=options.json)


@app.command
async def policy(
    name: str,
    /,
    *,
    change: PolicyChange = NO_CHANGE,
    options: Options = DEFAULTS,
) -> None:
    """Show or change what fails at a destination, what is retried and when, and how fast it is given events.

    Without an option it changes nothing.

    Example: onward destinations policy alerts-web --retries 30s,5m,1h --rate 100

    Parameters
    ----------
    name
        The destination's id.
    """
    async with Session(options) as session:
        stub, full_name = destination_stub(session), session.name("destinations", name)
        found = (await stub.GetDestination(pb.GetDestinationRequest(name=full_name))).destination
        answer = await _changed(stub, found, change) if change.changes else None
        destination = answer.destination if answer else found
        batches = await _takes_batches(session, destination)
    lines = policy_lines(destination.policy, takes_batches=batches)
    document = answer or pb.GetDestinationResponse(destination=destination)
    tell(document, *(f"{name}: {one}." for one in lines), as_json=options.json)
    if batches is False and change.gathers:
        warn(f"{_running(destination)} has no onBatch, so nothing is gathered until a version that has it runs")


async def _changed(
    stub: pb_grpc.DestinationServiceAsyncStub, found: resources_pb2.Destination, change: PolicyChange
) -> pb.UpdateDeliveryPolicyResponse:
    policy = found.policy
    change.apply(policy)
    # With the etag of what was read: a change of somebody else's is not undone by ours.
    return await stub.UpdateDeliveryPolicy(
        pb.UpdateDeliveryPolicyRequest(name=found.name, policy=policy, etag=found.etag, request_id=uuid7())
    )


async def _takes_batches(session: Session, destination: resources_pb2.Destination) -> bool | None:
    """Whether the code that runs has onBatch; None for who may not view it."""
    request = function_pb.GetVersionRequest(name=f"{destination.function}/versions/{destination.version}")
    try:
        found = await function_stub(session).GetVersion(request)
    except (NotFound, PermissionDenied):
        return None
    return BATCH_HANDLER in found.version.handlers


def _running(destination: resources_pb2.Destination) -> str:
    return f"{last_part(destination.function)}, version {destination.version},"


@app.command(name="list")
async def list_destinations(*, options: Options = DEFAULTS) -> None:
    """List the destinations of the workspace that you may view.

    Example: onward destinations list
    """
    async with Session(options) as session:
        request = pb.ListDestinationsRequest(parent=session.workspace_name)
        found = await collect(paged(destination_stub(session).ListDestinations, request), "destinations")
    empty = "There is none yet: `onward destinations connect FUNCTION SOURCE`."
    tell_list("destinations", found, COLUMNS, _row, empty=empty, as_json=options.json)


def _row(one: resources_pb2.Destination) -> tuple[str | int, ...]:
    return (last_part(one.name), last_part(one.function), one.version, last_part(one.source), _state(one))


@app.command
async def show(name: str, /, *, options: Options = DEFAULTS) -> None:
    """Show a destination with its settings; encrypted values are never shown.

    Example: onward destinations show alerts-web

    Parameters
    ----------
    name
        The destination's id.
    """
    async with Session(options) as session:
        request = pb.GetDestinationRequest(name=session.name("destinations", name))
        destination = (await destination_stub(session).GetDestination(request)).destination
        batches = None if options.json else await _takes_batches(session, destination)
    if options.json:
        print_json({"destination": destination})
        return
    print_record(
        [
            ("destination", last_part(destination.name)),
            ("display name", destination.display_name),
            ("function", f"{last_part(destination.function)}, version {destination.version}"),
            ("source", last_part(destination.source)),
            ("state", _state(destination)),
            ("policy", "; ".join(policy_lines(destination.policy, takes_batches=batches))),
            ("changed", when(destination.update_time)),
        ]
    )
    _print_settings(destination)


def _print_settings(destination: resources_pb2.Destination) -> None:
    rows = [(one.name, setting_text(one), when(one.update_time)) for one in destination.settings]
    print_table(("setting", "~value", "changed"), rows, empty="Its function defines no settings.")


def setting_text(setting: resources_pb2.SettingState) -> str:
    """Tell a value, or why there is none to be seen."""
    if not setting.set:
        return "not set"
    if setting.encrypted:
        return "set, encrypted"
    # Callers are given no values of functions that they may not view.
    return (shown(setting.value) or '""') if setting.HasField("value") else "set, hidden"


def _state(destination: resources_pb2.Destination) -> str:
    if destination.enabled:
        return "enabled"
    return "disabled, held" if destination.held else "disabled"
