"""onward tokens"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cyclopts import App

from cli.commands.members import workspace_stub
from cli.confirmation import Yes, confirm
from cli.durations import parse_duration
from cli.options import DEFAULTS, Options
from cli.output import last_part, tell, tell_list, when
from cli.paging import collect, paged
from cli.role_text import grants_text, parse_grants
from cli.session import Session
from kit.auth.tokens import TOKEN_MARK
from kit.ids import uuid7
from onward.registry.v1 import resources_pb2
from onward.registry.v1 import workspace_service_pb2 as pb

app = App(name="tokens", help="Make the tokens that members prove themselves with, and end them.")

COLUMNS = ("token", "~name", "member", "~rights", "expires", "last used")


@app.command
async def create(
    name: str = "",
    /,
    *,
    member: str,
    expires: str = "",
    role: list[str] | None = None,
    options: Options = DEFAULTS,
) -> None:
    """Make a token of a member; its secret is shown this once.

    Whoever has it names it with --token, or in ONWARD_TOKEN.

    Example: onward tokens create laptop --member ada --expires 30d

    Parameters
    ----------
    name
        For people, such as what it is for; the member's id where absent.
    member
        Whose rights it has. It ends with the member.
    expires
        Works for this long: 12h, 30d; without end where absent.
    role
        Only so much of the member's rights, as in `onward roles grant`; may be repeated. All of them where absent.
    """
    async with Session(options) as session:
        request = pb.CreateTokenRequest(
            member=session.name("members", member),
            display_name=name or member,
            grants=parse_grants(session, role or []),
            request_id=uuid7(),
        )
        if expires:
            request.expire_time.FromDatetime(datetime.now(UTC) + timedelta(seconds=parse_duration(expires)))
        made = await workspace_stub(session).CreateToken(request)
    until = f" until {when(made.token.expire_time)}" if expires else ""
    tell(
        made,
        f"Made the token {last_part(made.token.name)} of {member}{until}. It is shown this once, so keep it now:",
        made.secret,
        "Use it: export ONWARD_TOKEN=..., or --token",
        as_json=options.json,
    )


@app.command
async def revoke(token: str, /, *, yes: Yes = False, options: Options = DEFAULTS) -> None:
    """End a token; its next call is refused.

    Example: onward tokens revoke 7c1x9k2m4q0z

    Parameters
    ----------
    token
        The token's id, from `onward tokens list`; not its secret.
    """
    # Of a whole token, onw_<id>_<secret>, only the id is sent and shown.
    token = token.split("_")[1] if token.startswith(TOKEN_MARK) and token.count("_") > 1 else token
    async with Session(options) as session:
        request = pb.RevokeTokenRequest(name=session.name("tokens", token), request_id=uuid7())
        confirm(f"End the token {token}? Whoever uses it is refused from then on.", yes=yes)
        revoked = await workspace_stub(session).RevokeToken(request)
    tell(revoked, f"Revoked the token {token}: its next call is refused.", as_json=options.json)


@app.command(name="list")
async def list_tokens(*, member: str = "", options: Options = DEFAULTS) -> None:
    """List the tokens of the workspace, without their secrets.

    Example: onward tokens list --member ada

    Parameters
    ----------
    member
        Only this one's.
    """
    async with Session(options) as session:
        request = pb.ListTokensRequest(parent=session.workspace_name)
        found = await collect(paged(workspace_stub(session).ListTokens, request), "tokens")
        if member:
            name = session.name("members", member)
            found = [one for one in found if one.member == name]
    tell_list("tokens", found, COLUMNS, _row, empty="There is none.", as_json=options.json)


def _row(one: resources_pb2.Token) -> tuple[str, ...]:
    rights = grants_text(one.grants) or "all of the member's"
    told = (last_part(one.name), one.display_name, last_part(one.member), rights)
    expires = when(one.expire_time) if one.HasField("expire_time") else "never"
    return (*told, expires, when(one.last_use_time) if one.HasField("last_use_time") else "never")
