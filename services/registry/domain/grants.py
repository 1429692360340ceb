"""What a role holds for: whether a grant makes sense, and for which functions or sources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from kit.auth.demand import EVERYTHING, NOTHING, Subset
from kit.rpc import names
from kit.rpc.names import NameTemplate
from onward.registry.v1 import resources_pb2 as pb
from services.registry.domain.state import State
from services.registry.errors import InvalidField, Missing, WorkspaceLimitReached

# Roles that may hold for some, and what of.
_KINDS: Mapping[int, NameTemplate] = MappingProxyType(
    {
        pb.ROLE_FUNCTIONS_ADMIN: names.FUNCTION,
        pb.ROLE_FUNCTIONS_READ_ONLY: names.FUNCTION,
        pb.ROLE_SOURCE_ADMIN: names.SOURCE,
    }
)

# Of one member's roles, or one token's: all of it is read at each call. A role for all takes no names.
NAMES_MAX = 1_000


def scope_of(grant: pb.RoleGrant) -> Subset:
    """Ids of the functions or sources that a grant holds for. What is not understood holds for nothing."""
    if not grant.HasField("scope"):
        return EVERYTHING
    kind = grant.scope.WhichOneof("scope")
    if kind == "names":
        return Subset.of(name.rpartition("/")[2] for name in grant.scope.names.names)
    return EVERYTHING if kind == "all" and grant.scope.all else NOTHING


def to_grant(workspace: str, role: pb.Role.ValueType, scope: Subset) -> pb.RoleGrant:
    """The grant as callers see it: without a scope where it holds for all."""
    grant = pb.RoleGrant(role=role)
    if not scope.all and role in _KINDS:
        grant.scope.names.names.extend(_KINDS[role].format(workspace, one) for one in sorted(scope.ids))
    return grant


def check_grants(state: State, workspace: str, grants: Iterable[pb.RoleGrant], field: str) -> list[pb.RoleGrant]:
    """The grants in one form and each once. Raises InvalidField, or Missing for what the workspace has not."""
    checked: list[pb.RoleGrant] = []
    for index, grant in enumerate(grants):
        one = check_grant(state, workspace, grant, f"{field}[{index}]")
        if one not in checked:
            checked.append(one)
    return checked


def check_grant(state: State, workspace: str, grant: pb.RoleGrant, field: str) -> pb.RoleGrant:
    """The grant in the form in which it is stored; raises as `check_grants` does."""
    if grant.HasField("scope"):
        _check_scope(state, workspace, grant, f"{field}.scope")
    return to_grant(workspace, grant.role, scope_of(grant))


def _check_scope(state: State, workspace: str, grant: pb.RoleGrant, field: str) -> None:
    kind = grant.scope.WhichOneof("scope")
    if kind is None:
        # Taking it for "all" would give more than somebody meant who forgot to fill it in.
        raise InvalidField(field, "must say `all`, or `names`")
    if kind == "label_selector":
        raise InvalidField(f"{field}.label_selector", "is not supported yet; list the names instead")
    if kind == "all":
        if not grant.scope.all:
            raise InvalidField(f"{field}.all", "must be true; list names to hold for some only")
        return
    template = _KINDS.get(grant.role)
    if template is None:
        raise InvalidField(
            f"{field}.names", f"{pb.Role.Name(grant.role)} always holds for the whole workspace; leave the scope out"
        )
    for index, name in enumerate(grant.scope.names.names):
        _check_name(state, workspace, template, name, f"{field}.names.names[{index}]")


def _check_name(state: State, workspace: str, template: NameTemplate, name: str, field: str) -> None:
    if not template.matches(name):
        raise InvalidField(field, f"must be of the form {template.text} for this role")
    where, entity = template.parse(name)
    held: Iterable[str] = state.functions if template is names.FUNCTION else state.sources
    # Another workspace's looks like one that never was.
    if where != workspace or entity not in held:
        raise Missing(name)


def require_few_names(grants: Iterable[pb.RoleGrant], holder: str) -> None:
    """Raise WorkspaceLimitReached where a `holder`, such as "member", would have too many names in its grants."""
    if sum(len(grant.scope.names.names) for grant in grants) > NAMES_MAX:
        raise WorkspaceLimitReached(f"names_per_{holder}", NAMES_MAX, "Grant the role for all, or for fewer.")
