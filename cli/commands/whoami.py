"""onward whoami"""

from __future__ import annotations

from collections.abc import Sequence

from cli.commands.members import workspace_stub
from cli.options import DEFAULTS, Options
from cli.output import enum_word, print_json, print_table, say
from cli.paging import paged, pages
from cli.session import Session
from kit.auth.tokens import parse_token
from kit.errors import InvalidToken
from onward.common.v1.access_pb2 import Permission
from onward.registry.v1 import function_service_pb2 as function_pb
from onward.registry.v1 import function_service_pb2_grpc as function_grpc
from onward.registry.v1 import source_service_pb2 as source_pb
from onward.registry.v1 import source_service_pb2_grpc as source_grpc
from onward.registry.v1 import workspace_service_pb2 as pb

# Of functions and of sources, so many are asked about, each by a call of its own.
RESOURCES_MAX = 100

# What is about functions and about sources can be held for some of them only.
_OF_FUNCTIONS = (Permission.PERMISSION_FUNCTION_VIEW, Permission.PERMISSION_FUNCTION_EDIT)
_OF_SOURCES = (Permission.PERMISSION_SOURCE_ADMINISTER, Permission.PERMISSION_DELIVERY_VIEW)
_OF_WORKSPACE = (
    Permission.PERMISSION_WORKSPACE_VIEW,
    Permission.PERMISSION_WORKSPACE_ADMINISTER,
    Permission.PERMISSION_FUNCTION_CREATE,
    *_OF_FUNCTIONS,
    *_OF_SOURCES,
    Permission.PERMISSION_AUDIT_VIEW,
)


async def whoami(*, options: Options = DEFAULTS) -> None:
    """Tell as whom and with which token commands are sent, and what it allows.

    Example: onward whoami --token onw_7c1x9k2m4q0z_...
    """
    async with Session(options) as session:
        token = _token_id(session.member_token())
        answer = await _asked(session, session.workspace_name, _OF_WORKSPACE)
        held: dict[str, Sequence[Permission.ValueType]] = {session.workspace_name: answer.permissions}
        for name, asked in await _parts(session, held[session.workspace_name]):
            own = await _held(session, name, [one for one in asked if one not in held[session.workspace_name]])
            if own:
                held[name] = own
    if options.json:
        permissions = [
            {"name": name, "permissions": [Permission.Name(one) for one in some]} for name, some in held.items()
        ]
        who = {"principal": answer.principal, "token": token}
        print_json({**who, "workspace": session.workspace_name, "held": permissions})
        return
    say(f"{_who(answer.principal)} with the token {token} in the workspace {session.workspace}.")
    rows = [(_short(name), _words(some)) for name, some in held.items()]
    print_table(("on", "~may"), rows)


async def _parts(
    session: Session, held: Sequence[Permission.ValueType]
) -> list[tuple[str, Sequence[Permission.ValueType]]]:
    """Give the names of functions and sources, as far as the token may see them, with what to ask about."""
    channel, parent = session.as_member("registry"), session.workspace_name
    functions = function_grpc.FunctionServiceStub(channel).ListFunctions
    sources = source_grpc.SourceServiceStub(channel).ListSources
    found: list[tuple[str, Sequence[Permission.ValueType]]] = []
    if Permission.PERMISSION_WORKSPACE_VIEW not in held:
        # As an auditor, who sees none; asking would leave a refusal in the trail.
        return found
    for fetch, field, asked in (
        (paged(functions, function_pb.ListFunctionsRequest(parent=parent)), "functions", _OF_FUNCTIONS),
        (paged(sources, source_pb.ListSourcesRequest(parent=parent)), "sources", _OF_SOURCES),
    ):
        found += [(one.name, asked) async for one in pages(fetch, field, RESOURCES_MAX)]
    return found


async def _held(session: Session, name: str, asked: Sequence[Permission.ValueType]) -> Sequence[Permission.ValueType]:
    if not asked:
        return ()
    return (await _asked(session, name, asked)).permissions


async def _asked(session: Session, name: str, asked: Sequence[Permission.ValueType]) -> pb.TestPermissionsResponse:
    return await workspace_stub(session).TestPermissions(pb.TestPermissionsRequest(name=name, permissions=asked))


def _who(principal: str) -> str:
    kind, _, name = principal.partition(":")
    return f"You are the {kind} {name}".rstrip()


def _token_id(token: str) -> str:
    try:
        return parse_token(token).id
    except InvalidToken:
        return "of the identity provider"


def _words(permissions: Sequence[Permission.ValueType]) -> str:
    if len(permissions) == len(_OF_WORKSPACE):
        return "everything in the workspace"
    return ", ".join(enum_word(Permission.Name(one), "PERMISSION_") for one in permissions) or "nothing"


def _short(name: str) -> str:
    return name.split("/", 2)[2] if name.count("/") > 1 else name
