"""Who may do what: the whole table of roles and permissions."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.auth.demand import EVERYTHING, NOTHING, Subset
from kit.auth.names import rights_scope
from kit.postgres.pool import Pool
from kit.rpc import names
from onward.common.v1 import access_pb2 as access
from onward.registry.v1 import resources_pb2 as pb
from services.registry.domain.grants import scope_of, to_grant
from services.registry.domain.rights import (
    NOBODY,
    OWNER,
    Rights,
    Target,
    allows,
    allows_anywhere,
    granted,
    roles_that_allow,
)
from services.registry.queries.access import kind_of, read_target

WORKSPACE = Target()
CRM = Target("functions", function="crm")
ERP = Target("functions", function="erp")
GONE = Target("functions", function="crm", deleted=True)
WEB = Target("sources", source="web")
IOS = Target("sources", source="ios")
# A destination connects a function with a source; what does not exist connects nothing.
CRM_WEB = Target("destinations", "crm", "web")
ERP_WEB = Target("destinations", "erp", "web")
CRM_IOS = Target("destinations", "crm", "ios")
NO_DESTINATION = Target("destinations")

TARGETS = (WORKSPACE, CRM, ERP, GONE, WEB, IOS, CRM_WEB, ERP_WEB, CRM_IOS, NO_DESTINATION)
PERMISSIONS = tuple(access.Permission.values())
OUTSIDE = {
    access.PERMISSION_UNSPECIFIED,
    access.PERMISSION_NONE,
    access.PERMISSION_OPERATE,
    access.PERMISSION_SERVICE,
}

ENTER = access.PERMISSION_WORKSPACE_ENTER
VIEW = access.PERMISSION_WORKSPACE_VIEW
ADMINISTER = access.PERMISSION_WORKSPACE_ADMINISTER
AUDIT = access.PERMISSION_AUDIT_VIEW
CREATE = access.PERMISSION_FUNCTION_CREATE
READ = access.PERMISSION_FUNCTION_VIEW
EDIT = access.PERMISSION_FUNCTION_EDIT
SOURCE = access.PERMISSION_SOURCE_ADMINISTER
DELIVERIES = access.PERMISSION_DELIVERY_VIEW
REPEAT = access.PERMISSION_DELIVERY_OPERATE
LOOK = access.PERMISSION_DESTINATION_VIEW
CONNECT = access.PERMISSION_DESTINATION_ADMINISTER
FILTERS = access.PERMISSION_FILTER_VIEW
FILTER = access.PERMISSION_FILTER_ADMINISTER

MEMBER = pb.ROLE_MEMBER
AUDITOR = pb.ROLE_AUDITOR
ADMIN = pb.ROLE_FUNCTIONS_ADMIN
READER = pb.ROLE_FUNCTIONS_READ_ONLY
KEEPER = pb.ROLE_SOURCE_ADMIN
ROLES = (pb.ROLE_OWNER, ADMIN, READER, KEEPER, MEMBER, AUDITOR)
SOME_CRM = Subset.of(["crm"])
SOME_WEB = Subset.of(["web"])


def held(rights: Rights, target: Target) -> set[int]:
    return {one for one in PERMISSIONS if allows(rights, one, target)}


def of(role: pb.Role.ValueType, scope: Subset = EVERYTHING) -> Rights:
    return granted([(role, scope)])


@pytest.mark.parametrize("target", TARGETS)
def test_an_owner_may_everything_in_the_workspace_and_nothing_outside(target: Target) -> None:
    assert held(OWNER, target) == set(PERMISSIONS) - OUTSIDE
    assert of(pb.ROLE_OWNER) == OWNER


@pytest.mark.parametrize("target", TARGETS)
def test_who_has_no_role_may_nothing(target: Target) -> None:
    assert held(NOBODY, target) == set()


@pytest.mark.parametrize("target", TARGETS)
def test_a_member_sees_that_things_exist_and_nothing_else(target: Target) -> None:
    """H1: one role too low."""
    assert held(of(MEMBER), target) == {ENTER, VIEW}


@pytest.mark.parametrize("target", [one for one in TARGETS if one != GONE])
def test_an_auditor_reads_the_trail_and_nothing_else(target: Target) -> None:
    assert held(of(AUDITOR), target) == {ENTER, AUDIT}


def test_an_auditor_reads_the_history_of_deleted_functions() -> None:
    assert held(of(AUDITOR), GONE) == {ENTER, AUDIT, READ}
    for role in (ADMIN, READER, KEEPER, MEMBER):
        assert not {READ, EDIT} & held(of(role), GONE)


@pytest.mark.parametrize("target", [CRM, ERP])
def test_a_functions_admin_edits_every_function_and_creates(target: Target) -> None:
    assert held(of(ADMIN), target) == {ENTER, VIEW, READ, EDIT, CREATE, LOOK}


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_allowed_whatever_it_is_is_allowed_on_each(target: Target) -> None:
    scopes = (EVERYTHING, NOTHING, SOME_CRM, SOME_WEB)
    roles = [[(role, scope)] for role in ROLES for scope in scopes]
    rights = [granted(one) for one in (*roles, *(a + b for a in roles for b in roles))]
    anywhere = {
        (one, permission)
        for one in rights
        for permission in PERMISSIONS
        if allows_anywhere(one, permission, target.kind)
    }
    assert anywhere <= {(one, permission) for one in rights for permission in held(one, target)}
    # Owners are asked about nothing.
    assert {permission for one, permission in anywhere if one == OWNER} == set(PERMISSIONS) - OUTSIDE


def test_a_functions_admin_of_some_edits_those_and_cannot_create() -> None:
    some = of(ADMIN, SOME_CRM)
    assert held(some, CRM) == {ENTER, VIEW, READ, EDIT, LOOK}
    for target in (ERP, WORKSPACE, WEB, IOS, ERP_WEB, NO_DESTINATION):
        assert held(some, target) == {ENTER, VIEW}


def test_code_of_no_function_yet_is_for_those_who_may_create_one() -> None:
    rights = [granted([(role, scope)]) for role in ROLES for scope in (EVERYTHING, SOME_CRM)]
    assert all(allows(one, EDIT, WORKSPACE) == allows(one, CREATE, WORKSPACE) for one in rights)
    assert "Functions Admin of all functions" in roles_that_allow(EDIT, "")


def test_a_functions_reader_reads_and_never_edits() -> None:
    assert held(of(READER), ERP) == {ENTER, VIEW, READ, LOOK}
    assert held(of(READER, SOME_CRM), CRM) == {ENTER, VIEW, READ, LOOK}
    assert held(of(READER, SOME_CRM), ERP) == {ENTER, VIEW}


def test_a_functions_role_sees_destinations_of_its_functions_and_neither_deliveries_nor_settings() -> None:
    for role in (ADMIN, READER):
        assert held(of(role, SOME_CRM), CRM_WEB) == {ENTER, VIEW, READ, LOOK, FILTERS} | (
            {EDIT} if role == ADMIN else set()
        )
        assert not {DELIVERIES, REPEAT, CONNECT, FILTER, SOURCE} & held(of(role), CRM_WEB)


def test_a_source_admin_sees_deliveries_and_connects_only_with_read_on_the_function() -> None:
    web = of(KEEPER, SOME_WEB)
    assert held(web, WEB) == {ENTER, VIEW, SOURCE, DELIVERIES, LOOK, FILTERS, FILTER}
    assert held(web, CRM_WEB) == {ENTER, VIEW, SOURCE, DELIVERIES, LOOK, FILTERS}
    both = web | of(READER, SOME_CRM)
    assert {CONNECT, REPEAT, FILTER} <= held(both, CRM_WEB)
    for target in (ERP_WEB, CRM_IOS, NO_DESTINATION, IOS, WORKSPACE):
        assert not {CONNECT, REPEAT} & held(both, target)


def test_workspace_filters_are_seen_by_source_admins_and_changed_by_owners() -> None:
    assert FILTERS in held(of(KEEPER, SOME_WEB), WORKSPACE)
    assert FILTER not in held(of(KEEPER), WORKSPACE)
    assert FILTERS not in held(of(ADMIN), WORKSPACE)


def test_a_part_is_enough_where_the_method_says_so() -> None:
    web = of(KEEPER, SOME_WEB)
    assert allows(web, DELIVERIES, WORKSPACE, partial=True)
    assert not allows(web, DELIVERIES, WORKSPACE)
    assert allows(of(READER, SOME_CRM), LOOK, WORKSPACE, partial=True)
    assert not allows(of(READER, SOME_CRM), DELIVERIES, WORKSPACE, partial=True)
    # A part of the workspace, not of one thing in it.
    assert not allows(web, DELIVERIES, IOS, partial=True)


def test_a_destination_that_is_none_is_open_only_to_rights_on_everything() -> None:
    """H1: nobody learns what exists from what is denied."""
    assert LOOK in held(of(KEEPER), NO_DESTINATION)
    assert held(of(KEEPER, SOME_WEB), NO_DESTINATION) == {ENTER, VIEW}


def test_the_policy_lets_every_member_create_and_edit_functions_and_nothing_else() -> None:
    by_policy = granted([(MEMBER, EVERYTHING)], members_may_edit=True)
    assert held(by_policy, ERP) == {ENTER, VIEW, READ, EDIT, CREATE, LOOK}
    assert not {CONNECT, SOURCE, DELIVERIES, ADMINISTER, AUDIT} & held(by_policy, CRM_WEB)
    assert granted([(READER, SOME_CRM)], members_may_edit=True).edit == EVERYTHING


def test_the_policy_is_not_for_auditors_nor_for_members_without_a_role() -> None:
    assert granted([(AUDITOR, EVERYTHING)], members_may_edit=True) == of(AUDITOR)
    assert granted([], members_may_edit=True) == NOBODY


def test_a_role_of_a_newer_release_gives_nothing() -> None:
    assert granted([(99, EVERYTHING)]) == NOBODY  # type: ignore[list-item]  # a number that is no role yet


subsets = st.one_of(
    st.just(EVERYTHING), st.frozensets(st.sampled_from(["crm", "erp", "web", "ios"])).map(lambda ids: Subset(ids=ids))
)
bindings = st.lists(st.tuples(st.sampled_from(ROLES), subsets), max_size=4)


@given(bindings, bindings, st.sampled_from(TARGETS))
def test_roles_add_up(
    one: list[tuple[pb.Role.ValueType, Subset]], two: list[tuple[pb.Role.ValueType, Subset]], target: Target
) -> None:
    assert held(granted(one + two), target) >= held(granted(one), target) | held(granted(two), target)
    assert granted(one + two) == granted(one) | granted(two)


@given(bindings, bindings, st.sampled_from(TARGETS))
def test_a_token_has_never_more_than_its_member_nor_more_than_its_grants(
    member: list[tuple[pb.Role.ValueType, Subset]], grants: list[tuple[pb.Role.ValueType, Subset]], target: Target
) -> None:
    rights = granted(member) & granted(grants)
    assert held(rights, target) <= held(granted(member), target) & held(granted(grants), target)


def test_a_scope_that_is_not_understood_holds_for_nothing() -> None:
    assert scope_of(pb.RoleGrant(role=ADMIN)) == EVERYTHING
    assert scope_of(pb.RoleGrant(role=ADMIN, scope=pb.RoleScope(all=True))) == EVERYTHING
    assert scope_of(pb.RoleGrant(role=ADMIN, scope=pb.RoleScope(all=False))) == NOTHING
    assert scope_of(pb.RoleGrant(role=ADMIN, scope=pb.RoleScope())) == NOTHING
    assert scope_of(pb.RoleGrant(role=ADMIN, scope=pb.RoleScope(label_selector=pb.LabelSelector()))) == NOTHING


@given(st.sampled_from([ADMIN, READER, KEEPER]), subsets)
def test_a_grant_says_again_what_it_holds_for(role: pb.Role.ValueType, scope: Subset) -> None:
    assert scope_of(to_grant("acme", role, scope)) == scope


NAMES = {pb.ROLE_OWNER: "Owner", ADMIN: "Functions Admin", READER: "Functions Read-only", KEEPER: "Source Admin"}
NAMES |= {MEMBER: "Member", AUDITOR: "Auditor"}


def named(words: str) -> set[int]:
    if words.startswith("any"):
        return {role for role in ROLES if words == "any" or NAMES[role] not in words}
    return {role for role in ROLES if NAMES[role] in words}


@pytest.mark.parametrize("target", [WORKSPACE, Target("filters"), CRM, WEB, CRM_WEB])
@pytest.mark.parametrize("permission", sorted(set(PERMISSIONS) - OUTSIDE))
def test_a_refusal_names_the_roles_that_allow_it(permission: int, target: Target) -> None:
    words = roles_that_allow(permission, target.kind)
    names = named(words)
    if " with " in words:
        # Neither of the two is enough, and each helps the other.
        assert names == {pb.ROLE_OWNER, KEEPER, ADMIN, READER}
        assert all(allows(of(KEEPER) | of(role), permission, target) for role in (ADMIN, READER))
        names = {pb.ROLE_OWNER}
    assert names == {role for role in ROLES if allows(of(role), permission, target)}


class Rows:
    """Has no row, and keeps what was looked for."""

    def __init__(self) -> None:
        self.looked_for: list[tuple[str, ...]] = []

    async def fetchrow(self, query: str, *args: str) -> None:
        self.looked_for.append(args)


TEMPLATES = [one.text for one in vars(names).values() if isinstance(one, names.NameTemplate)]
KINDS = sorted({text.split("/")[2] for text in TEMPLATES if text.startswith("workspaces/{workspace}/")})


@pytest.mark.parametrize("kind", ["", *KINDS])
async def test_other_services_keep_a_yes_for_no_more_than_is_decided_alike(kind: str) -> None:
    for resource in (f"workspaces/acme/{kind}", f"workspaces/acme/{kind}/one", f"workspaces/acme/{kind}/one/parts/2"):
        found = []
        for name in (resource, rights_scope(resource)):
            rows = Rows()
            target = await read_target(cast("Pool", rows), name)
            found.append((target, rows.looked_for, kind_of(name) in ("functions", "destinations")))
        assert found[0] == found[1], resource
