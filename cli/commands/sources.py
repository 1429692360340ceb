"""onward sources"""

from __future__ import annotations

import sys

from cyclopts import App

from cli.commands.write_keys import make_write_key, source_stub, told_once
from cli.confirmation import Yes, confirm
from cli.labels import changed_labels, labels_text, parse_labels
from cli.options import DEFAULTS, Options
from cli.output import last_part, plain, tell, tell_list, when
from cli.paging import collect, paged
from cli.session import Session, as_id
from kit.ids import uuid7
from onward.registry.v1 import resources_pb2
from onward.registry.v1 import source_service_pb2 as pb

app = App(name="sources", help="Create and change sources: publishers publish events to them.")
# As in cli.main: the line here would hide the command's own help, with its example.
_SAMPLE = None if sys.argv[2:3] == ["sample"] else "List the last events of a source, or print one."
app.command("cli.commands.samples:sample", name="sample", help=_SAMPLE)
app.command("cli.commands.write_keys:app", name="keys", help="Make and end write keys for a source's publishers.")

COLUMNS = ("source", "~display name", "subject", "~labels", "created")


@app.command
async def create(name: str, /, *, label: list[str] | None = None, options: Options = DEFAULTS) -> None:
    """Create a source with a first write key, which is shown this once; events may be published to it at once.

    Example: onward sources create web

    Parameters
    ----------
    name
        Its id, such as web, or a display name that an id is made from.
    label
        NAME=VALUE; may be repeated.
    """
    async with Session(options) as session:
        request = pb.CreateSourceRequest(
            parent=session.workspace_name,
            source_id=as_id(name),
            display_name=name,
            labels=parse_labels(label or []),
            request_id=uuid7(),
        )
        made = await source_stub(session).CreateSource(request)
        key = await make_write_key(session, made.source.name)
        source = last_part(made.source.name)
        once = told_once(session, source, key)
    tell(
        plain(made) | {"writeKey": plain(key.write_key), "secret": key.secret},
        f"Created the source {source}; publishers publish to the subject {made.source.subject}.",
        *once,
        f"Next: onward destinations connect FUNCTION {source}",
        as_json=options.json,
    )


@app.command
async def update(
    name: str,
    /,
    *,
    display_name: str | None = None,
    label: list[str] | None = None,
    no_labels: bool = False,
    options: Options = DEFAULTS,
) -> None:
    """Change a source's name and labels; the subject stays.

    Example: onward sources update web --display-name "Web shop" \\
        --label team=growth

    Parameters
    ----------
    name
        The source's id.
    display_name
        For people.
    label
        NAME=VALUE; may be repeated. Those that are given are all labels from now on.
    no_labels
        Take all labels away.
    """
    labels = changed_labels(label, none=no_labels, otherwise=display_name)
    async with Session(options) as session:
        request = pb.UpdateSourceRequest(
            name=session.name("sources", name), display_name=display_name, labels=labels, request_id=uuid7()
        )
        answer = await source_stub(session).UpdateSource(request)
    tell(answer, f"Changed the source {name}.", as_json=options.json)


@app.command
async def delete(name: str, /, *, yes: Yes = False, options: Options = DEFAULTS) -> None:
    """Delete a source, with its write keys and filters. Refused while destinations are connected.

    Example: onward sources delete web

    Parameters
    ----------
    name
        The source's id, which is never given again.
    """
    async with Session(options) as session:
        request = pb.DeleteSourceRequest(name=session.name("sources", name), request_id=uuid7())
        confirm(f"Delete the source {name}, with its write keys and filters?", yes=yes)
        deleted = await source_stub(session).DeleteSource(request)
        session.forget_write_key(name)
    tell(deleted, f"Deleted the source {name}; its publishers are cut off.", as_json=options.json)


@app.command(name="list")
async def list_sources(*, options: Options = DEFAULTS) -> None:
    """List the sources of the workspace.

    Example: onward sources list
    """
    async with Session(options) as session:
        request = pb.ListSourcesRequest(parent=session.workspace_name)
        found = await collect(paged(source_stub(session).ListSources, request), "sources")
    empty = "There is none yet: create one with `onward sources create NAME`."
    tell_list("sources", found, COLUMNS, _row, empty=empty, as_json=options.json)


def _row(one: resources_pb2.Source) -> tuple[str, ...]:
    return (last_part(one.name), one.display_name, one.subject, labels_text(one.labels), when(one.create_time))
