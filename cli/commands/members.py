"""onward members"""

from __future__ import annotations

from collections import defaultdict

from cyclopts import App

from cli.confirmation import Yes, confirm
from cli.failures import UsageError
from cli.options import DEFAULTS, Options
from cli.output import is_wide, last_part, plain, tell, tell_list, when
from cli.paging import collect, paged
from cli.role_text import grants_text, parse_grants
from cli.session import Session, as_id
from kit.ids import uuid7
from onward.registry.v1 import operator_service_pb2 as operator_pb
from onward.registry.v1 import operator_service_pb2_grpc as operator_grpc
from onward.registry.v1 import resources_pb2
from onward.registry.v1 import workspace_service_pb2 as pb
from onward.registry.v1 import workspace_service_pb2_grpc as pb_grpc

app = App(name="members", help="Add people and programs to a workspace, and take them out.")

COLUMNS = ("member", "kind", "~name", "~email", "~roles")
COLUMNS_WIDE = (*COLUMNS, "added")
_KINDS = {
    resources_pb2.MEMBER_KIND_PERSON: "person",
    resources_pb2.MEMBER_KIND_SERVICE_ACCOUNT: "service account",
}


def workspace_stub(session: Session) -> pb_grpc.WorkspaceServiceAsyncStub:
    """Give the stub of the registry's WorkspaceService, as a member."""
    stub: pb_grpc.WorkspaceServiceAsyncStub = pb_grpc.WorkspaceServiceStub(session.as_member("registry"))
    return stub


async def role_bindings(session: Session) -> list[resources_pb2.RoleBinding]:
    """Fetch all bindings of the workspace."""
    request = pb.ListRoleBindingsRequest(parent=session.workspace_name)
    return await collect(paged(workspace_stub(session).ListRoleBindings, request), "role_bindings")


@app.command
async def add(
    name: str = "",
    /,
    *,
    email: str = "",
    display_name: str = "",
    service_account: bool = False,
    role: list[str] | None = None,
    options: Options = DEFAULTS,
) -> None:
    """Add a person, or with --service-account a program, with first roles; then make a token for it.

    Example: onward members add ada --email ada@example.com \\
        --role functions-admin:crm --role source-admin:web

    Parameters
    ----------
    name
        Its id, such as ada, which stays in the trail for ever; one that tells nothing is made where absent.
    email
        A person's address; by it a token of the configured identity provider finds the member.
    display_name
        For people; NAME where absent.
    service_account
        A program, not a person.
    role
        owner, functions-admin, functions-read-only, source-admin, member or auditor; with :NAME,NAME only for these
        functions or sources. May be repeated; member where absent.
    """
    if service_account and email:
        raise UsageError("a service account has no --email: leave it out")
    async with Session(options) as session:
        request = pb.AddMemberRequest(
            parent=session.workspace_name,
            member_id=as_id(name),
            kind=resources_pb2.MEMBER_KIND_SERVICE_ACCOUNT if service_account else resources_pb2.MEMBER_KIND_PERSON,
            display_name=display_name or name,
            email=email,
            grants=parse_grants(session, role or []),
            request_id=uuid7(),
        )
        added = await workspace_stub(session).AddMember(request)
    member = last_part(added.member.name)
    roles = grants_text(one.grant for one in added.role_bindings)
    tell(
        added,
        f"Added {member}, a {_KINDS[added.member.kind]}, with: {roles}.",
        f"Next: onward tokens create --member {member}",
        as_json=options.json,
    )


@app.command
async def remove(name: str, /, *, yes: Yes = False, options: Options = DEFAULTS) -> None:
    """Remove a member, with its roles and tokens; they end with its next call. The last owner stays.

    Example: onward members remove ada

    Parameters
    ----------
    name
        The member's id.
    """
    async with Session(options) as session:
        request = pb.RemoveMemberRequest(name=session.name("members", name), request_id=uuid7())
        confirm(f"Remove {name} from {session.workspace}, with all roles and tokens?", yes=yes)
        removed = await workspace_stub(session).RemoveMember(request)
    tell(removed, f"Removed {name}; its roles and tokens are gone.", as_json=options.json)


@app.command
async def erase(name: str, /, *, yes: Yes = False, options: Options = DEFAULTS) -> None:
    """Erase what is known of a person who was removed, as the operator: name, e-mail, where calls came from.

    Example: onward members erase ada

    The trail keeps the id alone.

    Parameters
    ----------
    name
        The id of the member that the person was.
    """
    async with Session(options) as session:
        request = operator_pb.ErasePersonRequest(name=session.name("members", name), request_id=uuid7())
        confirm(f"Erase for good what is known of {name} in {session.workspace}?", yes=yes)
        stub: operator_grpc.OperatorServiceAsyncStub = operator_grpc.OperatorServiceStub(session.as_operator())
        erased = await stub.ErasePerson(request)
    tell(erased, f"Erased {name}: name and address are gone, what was done stays in the trail.", as_json=options.json)


@app.command(name="list")
async def list_members(*, options: Options = DEFAULTS) -> None:
    """List the members of the workspace with their roles.

    Example: onward members list
    """
    async with Session(options) as session:
        request = pb.ListMembersRequest(parent=session.workspace_name)
        found = await collect(paged(workspace_stub(session).ListMembers, request), "members")
        roles = defaultdict(list)
        for binding in await role_bindings(session):
            roles[binding.member].append(binding.grant)
    if options.json:
        found = [plain(one) | {"grants": plain(roles[one.name])} for one in found]

    wide = is_wide()

    def row(one: resources_pb2.Member) -> tuple[str, ...]:
        told = (last_part(one.name), _KINDS[one.kind], one.display_name, one.email, grants_text(roles[one.name]))
        return (*told, when(one.create_time)) if wide else told

    tell_list("members", found, COLUMNS_WIDE if wide else COLUMNS, row, empty="There is none.", as_json=options.json)
