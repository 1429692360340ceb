"""onward sources keys"""

from __future__ import annotations

from cyclopts import App

from cli.confirmation import Yes, confirm
from cli.options import DEFAULTS, Options
from cli.output import last_part, tell, tell_list, when
from cli.paging import collect, paged
from cli.session import Session
from kit.ids import uuid7
from onward.registry.v1 import resources_pb2
from onward.registry.v1 import source_service_pb2 as pb
from onward.registry.v1 import source_service_pb2_grpc as pb_grpc

app = App(name="keys", help="Make and end the keys with which a source's publishers connect to NATS.")

COLUMNS = ("write key", "created", "last used")


def source_stub(session: Session) -> pb_grpc.SourceServiceAsyncStub:
    """Give the stub of the registry's SourceService."""
    stub: pb_grpc.SourceServiceAsyncStub = pb_grpc.SourceServiceStub(session.as_member("registry"))
    return stub


async def make_write_key(session: Session, source: str) -> pb.CreateWriteKeyResponse:
    """Make a write key of a source, by its full name, and keep it in the data folder where that is the one in use."""
    made = await source_stub(session).CreateWriteKey(pb.CreateWriteKeyRequest(parent=source, request_id=uuid7()))
    session.remember_write_key(last_part(source), made.secret)
    return made


def told_once(session: Session, source: str, made: pb.CreateWriteKeyResponse) -> list[str]:
    """Give the lines that show a write key for the only time."""
    lines = [
        f"Its write key {last_part(made.write_key.name)} is shown this once; give it to its publishers:",
        made.secret,
    ]
    if session.write_key(source) == made.secret:
        lines.append(f"It is kept in {session.client_file.path} too, where `onward events publish {source}` finds it.")
    return lines


@app.command
async def create(source: str, /, *, options: Options = DEFAULTS) -> None:
    """Make a write key; it is shown this once. A source has two at most, so that one can be replaced.

    Example: onward sources keys create web

    Parameters
    ----------
    source
        The source's id.
    """
    async with Session(options) as session:
        made = await make_write_key(session, session.name("sources", source))
        lines = [f"Made a write key of {source}.", *told_once(session, source, made)]
    tell(made, *lines, as_json=options.json)


@app.command
async def revoke(source: str, key: str, /, *, yes: Yes = False, options: Options = DEFAULTS) -> None:
    """End a write key; connections that use it are closed.

    Example: onward sources keys revoke web 7c1x9k2m4q0z

    Parameters
    ----------
    source
        The source's id.
    key
        The write key's id, from `onward sources keys list`; not its secret.
    """
    async with Session(options) as session:
        name = f"{session.name('sources', source)}/writeKeys/{key}"
        confirm(f"End the write key {key} of {source}? Publishers that use it are cut off.", yes=yes)
        revoked = await source_stub(session).RevokeWriteKey(pb.RevokeWriteKeyRequest(name=name, request_id=uuid7()))
        session.forget_write_key(source, key)
    tell(revoked, f"Revoked the write key {key} of {source}.", as_json=options.json)


@app.command(name="list")
async def list_keys(source: str, /, *, options: Options = DEFAULTS) -> None:
    """List a source's write keys, without their secrets.

    Example: onward sources keys list web

    Parameters
    ----------
    source
        The source's id.
    """
    async with Session(options) as session:
        request = pb.ListWriteKeysRequest(parent=session.name("sources", source))
        found = await collect(paged(source_stub(session).ListWriteKeys, request), "write_keys")
    empty = f"There is none: make one with `onward sources keys create {source}`."
    tell_list("writeKeys", found, COLUMNS, _row, empty=empty, as_json=options.json)


def _row(one: resources_pb2.WriteKey) -> tuple[str, ...]:
    used = when(one.last_use_time) if one.HasField("last_use_time") else "never"
    return (last_part(one.name), when(one.create_time), used)
