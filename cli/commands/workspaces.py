"""onward workspaces"""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from cli.commands.members import workspace_stub
from cli.durations import parse_duration, spelled
from cli.failures import UsageError
from cli.options import DEFAULTS, Options
from cli.output import ABSENT, last_part, print_json, print_record, say, tell, tell_list, when
from cli.paging import collect, paged
from cli.session import Session, as_id
from kit.ids import uuid7
from onward.registry.v1 import operator_service_pb2 as operator_pb
from onward.registry.v1 import operator_service_pb2_grpc as operator_grpc
from onward.registry.v1 import resources_pb2
from onward.registry.v1 import workspace_service_pb2 as pb
from onward.registry.v1 import workspace_service_pb2_grpc as pb_grpc

app = App(name="workspaces", help="Create workspaces, change them, set their limits.")

COLUMNS = ("workspace", "~display name", ">functions at most", "~private ranges", "created")


def _stub(session: Session) -> pb_grpc.WorkspaceServiceAsyncStub:
    stub: pb_grpc.WorkspaceServiceAsyncStub = pb_grpc.WorkspaceServiceStub(session.as_operator())
    return stub


def operator_stub(session: Session) -> operator_grpc.OperatorServiceAsyncStub:
    """Give the stub of the registry's OperatorService."""
    stub: operator_grpc.OperatorServiceAsyncStub = operator_grpc.OperatorServiceStub(session.as_operator())
    return stub


@app.command
async def create(name: str, /, *, options: Options = DEFAULTS) -> None:
    """Create a workspace, and keep its owner's token in the data folder.

    Example: onward workspaces create acme

    Parameters
    ----------
    name
        Its id, such as acme, or a display name that an id is made from.
    """
    async with Session(options) as session:
        request = pb.CreateWorkspaceRequest(workspace_id=as_id(name), display_name=name, request_id=uuid7())
        made = await _stub(session).CreateWorkspace(request)
        workspace = last_part(made.workspace.name)
        kept = session.remember_workspace(workspace, made.owner_token)
    if options.json:
        print_json(made)
        return
    say(f"Created the workspace {workspace}.")
    if kept:
        say(f"Its owner's token is kept in {session.client_file.path}; commands find it there.")
    else:
        say(f"Its owner's token, shown this once: {made.owner_token}")


@app.command(name="list")
async def list_workspaces(*, options: Options = DEFAULTS) -> None:
    """List all workspaces.

    Example: onward workspaces list --json
    """
    async with Session(options) as session:
        found = await collect(paged(_stub(session).ListWorkspaces, pb.ListWorkspacesRequest()), "workspaces")
    empty = "There is none yet: create one with `onward workspaces create NAME`."
    tell_list("workspaces", found, COLUMNS, _row, empty=empty, as_json=options.json)


def _retries(one: resources_pb2.Workspace) -> str:
    """What policies may say; only owners and the operator are told."""
    if not one.retry_horizon_max_s:
        return ABSENT
    return f"{one.retries_max} within {spelled(one.retry_horizon_max_s)}"


def _row(one: resources_pb2.Workspace) -> tuple[str | int, ...]:
    ranges = ", ".join(one.egress_ranges)
    return (last_part(one.name), one.display_name, one.functions_max, ranges, when(one.create_time))


@app.command
async def show(*, options: Options = DEFAULTS) -> None:
    """Show the workspace with its limits and policies.

    Example: onward workspaces show
    """
    async with Session(options) as session:
        request = pb.GetWorkspaceRequest(name=session.workspace_name)
        found = await workspace_stub(session).GetWorkspace(request)
    if options.json:
        print_json(found)
        return
    one = found.workspace
    fields = (
        ("workspace", last_part(one.name)),
        ("display name", one.display_name),
        ("functions at most", one.functions_max or ABSENT),
        ("retries at most", _retries(one)),
        ("private ranges", ", ".join(one.egress_ranges)),
        ("functions edited by", "every member" if one.members_may_edit_functions else "Functions Admins"),
        ("created", when(one.create_time)),
    )
    print_record(fields)


@app.command
async def update(
    *,
    display_name: str | None = None,
    members_may_edit_functions: Annotated[bool | None, Parameter(negative="--no-members-may-edit-functions")] = None,
    options: Options = DEFAULTS,
) -> None:
    """Change the workspace's name and policy, as an owner.

    Example: onward workspaces update --display-name "Acme Inc."

    Parameters
    ----------
    display_name
        For people.
    members_may_edit_functions
        Every member may edit functions, whatever its roles; off at first.
    """
    if display_name is None and members_may_edit_functions is None:
        raise UsageError("say what is to change: --display-name or --members-may-edit-functions")
    async with Session(options) as session:
        request = pb.UpdateWorkspaceRequest(
            name=session.workspace_name,
            display_name=display_name,
            members_may_edit_functions=members_may_edit_functions,
            request_id=uuid7(),
        )
        answer = await workspace_stub(session).UpdateWorkspace(request)
    one = answer.workspace
    who = "every member" if one.members_may_edit_functions else "Functions Admins alone"
    told = f"{last_part(one.name)} is called {one.display_name!r}; its functions may be edited by {who}."
    tell(answer, told, as_json=options.json)


@app.command(name="allow-egress")
async def allow_egress(address_range: Annotated[str, Parameter(name="RANGE")], *, options: Options = DEFAULTS) -> None:
    """Let a workspace's functions call a private address range; only public addresses are allowed by default.

    Example: onward workspaces allow-egress 10.1.0.0/16 --workspace acme

    Parameters
    ----------
    address_range
        In CIDR notation; 127.0.0.0/8 for servers on this machine.
    """
    async with Session(options) as session:
        request = operator_pb.AllowEgressRangeRequest(
            name=session.workspace_name, range=address_range, request_id=uuid7()
        )
        answer = await operator_stub(session).AllowEgressRange(request)
    tell(answer, _egress(answer.workspace), as_json=options.json)


@app.command(name="disallow-egress")
async def disallow_egress(
    address_range: Annotated[str, Parameter(name="RANGE")], *, options: Options = DEFAULTS
) -> None:
    """No longer let a workspace's functions call a private address range.

    Example: onward workspaces disallow-egress 10.1.0.0/16 --workspace acme

    Parameters
    ----------
    address_range
        As it was allowed.
    """
    async with Session(options) as session:
        request = operator_pb.DisallowEgressRangeRequest(
            name=session.workspace_name, range=address_range, request_id=uuid7()
        )
        answer = await operator_stub(session).DisallowEgressRange(request)
    tell(answer, _egress(answer.workspace), as_json=options.json)


def _egress(workspace: resources_pb2.Workspace) -> str:
    ranges = "".join(f" and {one}" for one in workspace.egress_ranges)
    return f"Functions of {last_part(workspace.name)} may call public addresses{ranges}."


async def _functions_max(session: Session) -> int:
    """What the workspace has now: a request to set limits always names it."""
    found = await collect(paged(_stub(session).ListWorkspaces, pb.ListWorkspacesRequest()), "workspaces")
    return next((one.functions_max for one in found if one.name == session.workspace_name), 0)


@app.command(name="set-limits")
async def set_limits(
    *,
    functions_max: int | None = None,
    retries_max: int | None = None,
    retry_horizon_max: str | None = None,
    options: Options = DEFAULTS,
) -> None:
    """Set how many functions a workspace may hold and how long its policies may retry, as the operator.

    Example: onward workspaces set-limits --functions-max 50 --workspace acme

    Parameters
    ----------
    functions_max
        0 to 10000.
    retries_max
        How many retries a destination's policy may have: 0 to 100.
    retry_horizon_max
        How long after the first attempt a destination's policy may retry: 1s to 7d.
    """
    request = operator_pb.SetLimitsRequest(
        retries_max=retries_max,
        retry_horizon_max_s=None if retry_horizon_max is None else round(parse_duration(retry_horizon_max)),
        request_id=uuid7(),
    )
    async with Session(options) as session:
        request.name = session.workspace_name
        if functions_max is None:
            functions_max = await _functions_max(session)
        request.functions_max = functions_max
        answer = await operator_stub(session).SetLimits(request)
    workspace = answer.workspace
    told = f"{last_part(workspace.name)} may hold {workspace.functions_max} functions."
    horizon = spelled(workspace.retry_horizon_max_s)
    retries = f"Policies of its destinations may retry {workspace.retries_max} times within {horizon}."
    tell(answer, told, retries, as_json=options.json)
