"""onward sources"""

from __future__ import annotations

from cyclopts import App

from cli.options import DEFAULTS, Options
from cli.output import last_part, print_json, print_table, say, when
from cli.paging import collect
from cli.session import Session, as_id
from kit.ids import uuid7
from onward.registry.v1 import source_service_pb2 as pb
from onward.registry.v1 import source_service_pb2_grpc as pb_grpc

app = App(name="sources", help="Create and list sources: publishers publish events to them.")


def source_stub(session: Session) -> pb_grpc.SourceServiceAsyncStub:
    """Give the stub of the registry's SourceService."""
    stub: pb_grpc.SourceServiceAsyncStub = pb_grpc.SourceServiceStub(session.as_owner("registry"))
    return stub


@app.command
async def create(name: str, /, *, options: Options = DEFAULTS) -> None:
    """Create a source; events may be published to it at once.

    Example: onward sources create web

    Parameters
    ----------
    name
        Its id, such as web, or a display name that an id is made from.
    """
    async with Session(options) as session:
        request = pb.CreateSourceRequest(
            parent=session.workspace_name, source_id=as_id(name), display_name=name, request_id=uuid7()
        )
        made = await source_stub(session).CreateSource(request)
    if options.json:
        print_json(made)
        return
    source = last_part(made.source.name)
    say(f"Created the source {source}; publishers publish to the subject {made.source.subject}.")
    say(f"Next: onward destinations connect FUNCTION {source}")


@app.command(name="list")
async def list_sources(*, options: Options = DEFAULTS) -> None:
    """List the sources of the workspace.

    Example: onward sources list
    """
    async with Session(options) as session:
        stub, parent = source_stub(session), session.workspace_name
        found = await collect(
            lambda size, token: stub.ListSources(
                pb.ListSourcesRequest(parent=parent, page_size=size, page_token=token)
            ),
            "sources",
        )
    if options.json:
        print_json({"sources": found})
        return
    rows = [(last_part(one.name), one.display_name, one.subject, when(one.create_time)) for one in found]
    columns = ("source", "~display name", "subject", "created")
    print_table(columns, rows, empty="There is none yet: create one with `onward sources create NAME`.")
