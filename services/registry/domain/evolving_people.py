"""Facts of the workspace itself, its members, roles, tokens, keys and lookups."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from google.protobuf.message import Message

from onward.registry.v1 import facts_pb2, resources_pb2
from services.registry.domain.folding import end, with_entries, without
from services.registry.domain.state import BindingState, MemberState, State, TokenState

# The first release made one token a workspace, which belonged to nobody: it is this member's since.
FIRST_OWNER = "owner"


def _workspace_created(state: State, fact: facts_pb2.WorkspaceCreated) -> State:
    return replace(state, revision=1, display_name=fact.display_name, functions_max=fact.functions_max)


def _workspace_updated(state: State, fact: facts_pb2.WorkspaceUpdated) -> State:
    if fact.HasField("display_name"):
        state = replace(state, display_name=fact.display_name)
    if fact.HasField("members_may_edit_functions"):
        state = replace(state, members_may_edit_functions=fact.members_may_edit_functions)
    return replace(state, revision=state.revision + 1)


def _limits_set(state: State, fact: facts_pb2.LimitsSet) -> State:
    if fact.HasField("retries_max"):
        state = replace(state, retries_max=fact.retries_max)
    if fact.HasField("retry_horizon_max_s"):
        state = replace(state, retry_horizon_max_s=fact.retry_horizon_max_s)
    return replace(state, revision=state.revision + 1, functions_max=fact.functions_max)


def _egress_range_allowed(state: State, fact: facts_pb2.EgressRangeAllowed) -> State:
    return replace(state, revision=state.revision + 1, egress_ranges=(*state.egress_ranges, fact.range))


def _egress_range_disallowed(state: State, fact: facts_pb2.EgressRangeDisallowed) -> State:
    ranges = tuple(one for one in state.egress_ranges if one != fact.range)
    return replace(state, revision=state.revision + 1, egress_ranges=ranges)


def _member_added(state: State, fact: facts_pb2.MemberAdded) -> State:
    return _with_member(state, MemberState(fact.member, fact.kind, revision=1))


def _member_removed(state: State, fact: facts_pb2.MemberRemoved) -> State:
    # Its tokens end with facts of their own.
    return end(state, "members", fact.member)


def _person_erased(state: State, fact: facts_pb2.PersonErased) -> State:
    return with_entries(state, "ended_members", {fact.member: state.ended_members[fact.member] + 1})


def _role_granted(state: State, fact: facts_pb2.RoleGranted) -> State:
    member = state.members[fact.member]
    bindings = {**member.bindings, fact.binding: BindingState(fact.binding, fact.grant)}
    return _with_member(state, replace(member, revision=member.revision + 1, bindings=bindings))


def _role_revoked(state: State, fact: facts_pb2.RoleRevoked) -> State:
    member = state.members[fact.member]
    bindings = {key: one for key, one in member.bindings.items() if key != fact.binding}
    return _with_member(state, replace(member, revision=member.revision + 1, bindings=bindings))


def _token_created(state: State, fact: facts_pb2.TokenCreated) -> State:
    if not fact.member:
        state = _with_first_owner(state)
    token = TokenState(fact.token, fact.member or FIRST_OWNER, revision=1)
    return with_entries(state, "tokens", {fact.token: token})


def _with_first_owner(state: State) -> State:
    grant = resources_pb2.RoleGrant(role=resources_pb2.ROLE_OWNER)
    binding = BindingState(FIRST_OWNER, grant)
    kind = resources_pb2.MEMBER_KIND_SERVICE_ACCOUNT
    return _with_member(state, MemberState(FIRST_OWNER, kind, bindings={FIRST_OWNER: binding}))


def _token_revoked(state: State, fact: facts_pb2.TokenRevoked) -> State:
    return without(state, "tokens", fact.token)


def _unchanged(state: State, _fact: Message) -> State:
    return state


def _with_member(state: State, member: MemberState) -> State:
    return with_entries(state, "members", {member.id: member})


EVOLVERS: Mapping[type[Message], Callable[[State, Any], State]] = {
    facts_pb2.WorkspaceCreated: _workspace_created,
    facts_pb2.WorkspaceUpdated: _workspace_updated,
    facts_pb2.LimitsSet: _limits_set,
    facts_pb2.EgressRangeAllowed: _egress_range_allowed,
    facts_pb2.EgressRangeDisallowed: _egress_range_disallowed,
    facts_pb2.MemberAdded: _member_added,
    facts_pb2.MemberRemoved: _member_removed,
    facts_pb2.PersonErased: _person_erased,
    facts_pb2.RoleGranted: _role_granted,
    facts_pb2.RoleRevoked: _role_revoked,
    facts_pb2.TokenCreated: _token_created,
    facts_pb2.TokenRevoked: _token_revoked,
    facts_pb2.AccessDenied: _unchanged,
    facts_pb2.KeysRotated: _unchanged,
    facts_pb2.SecretSought: _unchanged,
}
