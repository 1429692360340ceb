"""Decisions on members, their roles and tokens."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from kit.auth.demand import Subset
from kit.errors import WrongState
from kit.eventstore.facts import NewFact
from onward.registry.v1 import facts_pb2, resources_pb2, workspace_service_pb2
from services.registry.domain import ids
from services.registry.domain.grants import check_grant, check_grants, require_few_names, scope_of
from services.registry.domain.state import BindingState, MemberState, State, TokenState
from services.registry.errors import InvalidField, Missing, WorkspaceLimitReached

# More people than look after functions anywhere; each call of each of them reads its bindings.
MEMBERS_MAX = 1_000
# A role for each function would be a list of names in one binding; more bindings than this are nobody's intention.
BINDINGS_PER_MEMBER_MAX = 50
# One for each program that acts for the member, and time to replace them.
TOKENS_PER_MEMBER_MAX = 50

# Begins the principal of a member.
MEMBER_PREFIX = "member:"
PERSON = resources_pb2.MEMBER_KIND_PERSON
OWNER = resources_pb2.ROLE_OWNER

# Something@something: only the address's own mail server knows more. The same as of an issuer's tokens (kit.auth.oidc).
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")


def decide_add_member(
    state: State,
    request: workspace_service_pb2.AddMemberRequest,
    workspace: str,
    committed: Mapping[str, str],
    made_id: Callable[[], str],
) -> list[NewFact]:
    """The member and its first roles. `made_id` makes ids of bindings, and one that tells nothing of a person."""
    _check_identity(request)
    if len(state.members) >= MEMBERS_MAX:
        raise WorkspaceLimitReached("members", MEMBERS_MAX, "Remove one that is no longer needed first.")
    member = _member_id(state, request, workspace, made_id)
    person = request.kind == PERSON
    added = facts_pb2.MemberAdded(
        member=member,
        kind=request.kind,
        display_name="" if person else request.display_name,
        commitments=committed if person else {},
    )
    grants = check_grants(state, workspace, request.grants, "grants")
    require_few_names(grants, "member")
    grants = grants or [resources_pb2.RoleGrant(role=resources_pb2.ROLE_MEMBER)]
    stream = f"members/{member}"
    return [NewFact(stream, added), *(_granted(made_id(), member, grant) for grant in grants)]


def _check_identity(request: workspace_service_pb2.AddMemberRequest) -> None:
    if request.kind != PERSON:
        if not request.display_name.strip():
            raise InvalidField("display_name", "is required for a service account")
        if request.email:
            raise InvalidField("email", "is for persons only: a service account presents tokens of Onward's")
    elif request.email and not (_EMAIL.fullmatch(request.email) and request.email.isprintable()):
        raise InvalidField("email", "must be an e-mail address, such as ada@example.com")


def _member_id(
    state: State,
    request: workspace_service_pb2.AddMemberRequest,
    workspace: str,
    made_id: Callable[[], str],
) -> str:
    # A letter first, as in every id that callers choose.
    asked = request.member_id or (f"m{made_id()}" if request.kind == PERSON else "")
    return ids.new_id(state, workspace, "members", asked, request.display_name, "service")


def decide_remove_member(state: State, workspace: str, member: str) -> list[NewFact]:
    """The end of its tokens, then its own; its roles go with it. Raises WrongState for the last owner."""
    found = require_member(state, workspace, member)
    if found.owner and not _other_owners(state, member):
        raise _last_owner(f"workspaces/{workspace}/members/{member}", "be removed")
    tokens = (_revoked(one.id) for one in _tokens_of(state, member))
    return [*tokens, NewFact(f"members/{member}", facts_pb2.MemberRemoved(member=member))]


def decide_grant_role(
    state: State, workspace: str, member: str, grant: resources_pb2.RoleGrant, made_id: Callable[[], str]
) -> list[NewFact]:
    """One more role. One that the member has already for just the same changes nothing: see `binding_of`."""
    found = require_member(state, workspace, member)
    checked = check_grant(state, workspace, grant, "grant")
    if binding_of(found, checked) is not None:
        return []
    if len(found.bindings) >= BINDINGS_PER_MEMBER_MAX:
        raise WorkspaceLimitReached(
            "bindings_per_member", BINDINGS_PER_MEMBER_MAX, "Name several functions or sources in one binding."
        )
    require_few_names([checked, *(one.grant for one in found.bindings.values())], "member")
    return [_granted(made_id(), member, checked)]


def binding_of(member: MemberState, grant: resources_pb2.RoleGrant) -> BindingState | None:
    """The binding by which a member has just this role for just this."""
    wanted = _meaning(grant)
    return next((one for one in member.bindings.values() if _meaning(one.grant) == wanted), None)


def _meaning(grant: resources_pb2.RoleGrant) -> tuple[int, Subset]:
    return grant.role, scope_of(grant)


def decide_revoke_role(state: State, workspace: str, binding: str) -> list[NewFact]:
    """One role less; raises WrongState for the last owner's."""
    name = f"workspaces/{workspace}/roleBindings/{binding}"
    member = next((one for one in state.members.values() if binding in one.bindings), None)
    if member is None:
        raise Missing(name)
    if member.bindings[binding].grant.role == OWNER and _owner_bindings(state) == 1:
        raise _last_owner(name, "be revoked")
    revoked = facts_pb2.RoleRevoked(binding=binding, member=member.id)
    return [NewFact(f"members/{member.id}", revoked)]


def decide_create_token(
    state: State,
    request: workspace_service_pb2.CreateTokenRequest,
    workspace: str,
    member: str,
    token: str,
    now: datetime,
) -> list[NewFact]:
    """A token whose id is given. Grants beyond the member's own rights are no error: they never have an effect."""
    require_member(state, workspace, member)
    if len(_tokens_of(state, member)) >= TOKENS_PER_MEMBER_MAX:
        raise WorkspaceLimitReached(
            "tokens_per_member", TOKENS_PER_MEMBER_MAX, "Revoke one that is no longer needed first."
        )
    created = facts_pb2.TokenCreated(
        token=token,
        display_name=request.display_name,
        member=member,
        grants=check_grants(state, workspace, request.grants, "grants"),
    )
    require_few_names(created.grants, "token")
    if request.HasField("expire_time"):
        _check_future(request.expire_time, now)
        created.expire_time.CopyFrom(request.expire_time)
    return [NewFact(f"tokens/{token}", created)]


def _check_future(expire_time: Timestamp, now: datetime) -> None:
    try:
        moment = expire_time.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise InvalidField("expire_time", "must be a time of the years 1 to 9999") from None
    if moment <= now:
        raise InvalidField("expire_time", f"must be in the future; it is {now:%Y-%m-%d %H:%M} UTC now")


def decide_revoke_token(state: State, workspace: str, token: str) -> list[NewFact]:
    """The end of a token."""
    if token not in state.tokens:
        raise Missing(f"workspaces/{workspace}/tokens/{token}")
    return [_revoked(token)]


def decide_erase_person(state: State, workspace: str, member: str, *, known: bool) -> list[NewFact]:
    """That somebody who is no member any more was forgotten; nothing where nothing is `known` (any more)."""
    if member in state.members:
        raise WrongState(
            "The person is a member still. Have an owner of the workspace remove the member first.",
            metadata={"resource": f"workspaces/{workspace}/members/{member}"},
        )
    if not state.is_taken("members", member):
        raise Missing(f"workspaces/{workspace}/members/{member}")
    return [NewFact(f"members/{member}", facts_pb2.PersonErased(member=member))] if known else []


def require_member(state: State, workspace: str, member: str) -> MemberState:
    """The member; raises Missing."""
    found = state.members.get(member)
    if found is None:
        raise Missing(f"workspaces/{workspace}/members/{member}")
    return found


def _tokens_of(state: State, member: str) -> list[TokenState]:
    return sorted((one for one in state.tokens.values() if one.member == member), key=lambda one: one.id)


def _other_owners(state: State, member: str) -> bool:
    return any(one.owner for one in state.members.values() if one.id != member)


def _owner_bindings(state: State) -> int:
    """Of members. A token that is narrowed to the role counts for nothing: it has no more than its member."""
    bindings: Iterable[BindingState] = (one for member in state.members.values() for one in member.bindings.values())
    return sum(one.grant.role == OWNER for one in bindings)


def _last_owner(resource: str, what: str) -> WrongState:
    return WrongState(
        f"{resource} can't {what}: the workspace would be without an owner. Grant another member ROLE_OWNER first.",
        metadata={"resource": resource},
    )


def _granted(binding: str, member: str, grant: resources_pb2.RoleGrant) -> NewFact:
    return NewFact(f"members/{member}", facts_pb2.RoleGranted(binding=binding, member=member, grant=grant))


def _revoked(token: str) -> NewFact:
    return NewFact(f"tokens/{token}", facts_pb2.TokenRevoked(token=token))
