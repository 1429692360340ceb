"""onward workspaces"""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from cli.options import DEFAULTS, Options
from cli.output import last_part, print_json, print_table, say, when
from cli.paging import collect
from cli.session import Session, as_id
from kit.ids import uuid7
from onward.registry.v1 import operator_service_pb2 as operator_pb
from onward.registry.v1 import operator_service_pb2_grpc as operator_grpc
from onward.registry.v1 import workspace_service_pb2 as pb
from onward.registry.v1 import workspace_service_pb2_grpc as pb_grpc

app = App(name="workspaces", help="Create and list workspaces, as the operator.")


def _stub(session: Session) -> pb_grpc.WorkspaceServiceAsyncStub:
    stub: pb_grpc.WorkspaceServiceAsyncStub = pb_grpc.WorkspaceServiceStub(session.as_operator())
    return stub


def _operator_stub(session: Session) -> operator_grpc.OperatorServiceAsyncStub:
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
        stub = _stub(session)
        found = await collect(
            lambda size, token: stub.ListWorkspaces(pb.ListWorkspacesRequest(page_size=size, page_token=token)),
            "workspaces",
        )
    if options.json:
        print_json({"workspaces": found})
        return
    rows = [
        (last_part(one.name), one.display_name, one.functions_max, ", ".join(one.egress_ranges), when(one.create_time))
        for one in found
    ]
    columns = ("workspace", "~display name", ">functions at most", "~private ranges", "created")
    print_table(columns, rows, empty="There is none yet: create one with `onward workspaces create NAME`.")


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
        answer = await _operator_stub(session).AllowEgressRange(request)
    if options.json:
        print_json(answer)
        return
    ranges = ", ".join(answer.workspace.egress_ranges)
    say(f"Functions of {last_part(answer.workspace.name)} may call public addresses and {ranges}.")


@app.command(name="set-limits")
async def set_limits(*, functions_max: int, options: Options = DEFAULTS) -> None:
    """Set how many functions a workspace may hold.

    Example: onward workspaces set-limits --functions-max 50 --workspace acme

    Parameters
    ----------
    functions_max
        0 to 10000.
    """
    async with Session(options) as session:
        request = operator_pb.SetLimitsRequest(
            name=session.workspace_name, functions_max=functions_max, request_id=uuid7()
        )
        answer = await _operator_stub(session).SetLimits(request)
    if options.json:
        print_json(answer)
        return
    say(f"{last_part(answer.workspace.name)} may hold {answer.workspace.functions_max} functions.")
