"""onward roles"""

from __future__ import annotations

from cyclopts import App

from cli.commands.members import role_bindings, workspace_stub
from cli.confirmation import Yes, confirm
from cli.options import DEFAULTS, Options
from cli.output import last_part, tell, tell_list, when
from cli.role_text import grant_text, grant_words, grants_text, parse_grants
from cli.session import Session
from kit.ids import uuid7
from onward.registry.v1 import resources_pb2
from onward.registry.v1 import workspace_service_pb2 as pb

app = App(
    name="roles",
    help="""Say what members may do. Roles add up.

owner:                everything in the workspace
functions-admin:      change functions; create them, if it holds for all
functions-read-only:  see code, settings' definitions, versions, counts
source-admin:         sources with their keys, destinations, deliveries
member:               see which sources and functions exist, by name
auditor:              read the trail and the history of deleted functions

Deploying takes functions-admin, and source-admin of every source touched.
For some functions or sources: functions-admin:crm,alerts, source-admin:web.
""",
)

COLUMNS = ("role binding", "member", "role", "~for", "since")


@app.command
async def grant(member: str, role: str, /, *more: str, options: Options = DEFAULTS) -> None:
    """Give a member roles; it has them with its next call.

    Example: onward roles grant ada functions-admin:crm,alerts source-admin:web

    Parameters
    ----------
    member
        The member's id.
    role
        owner, functions-admin, functions-read-only, source-admin, member or auditor; with :NAME,NAME only for these
        functions or sources.
    more
        Further roles.
    """
    async with Session(options) as session:
        stub, name, made = workspace_stub(session), session.name("members", member), []
        for one in parse_grants(session, (role, *more)):
            request = pb.GrantRoleRequest(member=name, grant=one, request_id=uuid7())
            made.append((await stub.GrantRole(request)).role_binding)
    given = grants_text(one.grant for one in made)
    tell({"roleBindings": made}, f"{member} now has: {given}.", as_json=options.json)


@app.command
async def revoke(binding: str, /, *, yes: Yes = False, options: Options = DEFAULTS) -> None:
    """Take a role from a member; effective on its next call. The last owner stays one.

    Example: onward roles revoke 01jd3q7kx2 --yes

    Parameters
    ----------
    binding
        The role binding's id, from `onward roles list`.
    """
    async with Session(options) as session:
        name = session.name("roleBindings", binding)
        known = {
            one.name: f"{grant_text(one.grant)} from {last_part(one.member)}" for one in await role_bindings(session)
        }
        told = known.get(name, binding)
        confirm(f"Take {told}?", yes=yes)
        revoked = await workspace_stub(session).RevokeRole(pb.RevokeRoleRequest(name=name, request_id=uuid7()))
    tell(revoked, f"Took {told}.", as_json=options.json)


@app.command(name="list")
async def list_roles(*, member: str = "", options: Options = DEFAULTS) -> None:
    """List who has which role, and for what.

    Example: onward roles list --member ada

    Parameters
    ----------
    member
        Only this one's.
    """
    async with Session(options) as session:
        found = await role_bindings(session)
        if member:
            name = session.name("members", member)
            found = [one for one in found if one.member == name]
    tell_list("roleBindings", found, COLUMNS, _row, empty="There is none.", as_json=options.json)


def _row(one: resources_pb2.RoleBinding) -> tuple[str, ...]:
    return (last_part(one.name), last_part(one.member), *grant_words(one.grant), when(one.create_time))
