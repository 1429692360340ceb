"""What is decided about members, their roles and tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from kit.eventstore.commitments import commitments
from onward.registry.v1 import facts_pb2
from onward.registry.v1 import resources_pb2 as pb
from onward.registry.v1 import workspace_service_pb2 as wpb
from services.registry.domain import members
from services.registry.domain.grants import NAMES_MAX
from services.registry.domain.members import BINDINGS_PER_MEMBER_MAX, MEMBERS_MAX, TOKENS_PER_MEMBER_MAX
from tests.unit.registry_given import Decide, Given

given = Given
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PERSON = pb.MEMBER_KIND_PERSON
SERVICE = pb.MEMBER_KIND_SERVICE_ACCOUNT
COMMITTED = {"email": "c0ffee"}


def grant(role: pb.Role.ValueType, *names: str) -> pb.RoleGrant:
    if not names:
        return pb.RoleGrant(role=role)
    return pb.RoleGrant(role=role, scope=pb.RoleScope(names=pb.ResourceNames(names=names)))


OWNER, MEMBER = grant(pb.ROLE_OWNER), grant(pb.ROLE_MEMBER)
ADMIN = pb.ROLE_FUNCTIONS_ADMIN
CRM, ERP = "workspaces/acme/functions/crm", "workspaces/acme/functions/erp"
WEB = "workspaces/acme/sources/web"


def added(member: str, kind: pb.MemberKind.ValueType = PERSON, **fields: Any) -> facts_pb2.MemberAdded:
    return facts_pb2.MemberAdded(member=member, kind=kind, **fields)


def bound(member: str, binding: str, role: pb.RoleGrant = OWNER) -> facts_pb2.RoleGranted:
    return facts_pb2.RoleGranted(member=member, binding=binding, grant=role)


def token(token_id: str, member: str = "ada", **fields: Any) -> facts_pb2.TokenCreated:
    return facts_pb2.TokenCreated(token=token_id, display_name="T", member=member, **fields)


WORKSPACE = facts_pb2.WorkspaceCreated(workspace="acme", display_name="Acme", functions_max=10)
# A workspace with one owner, two functions and a source.
ACME: tuple[Message, ...] = (
    WORKSPACE,
    facts_pb2.FunctionCreated(function="crm", display_name="CRM"),
    facts_pb2.FunctionCreated(function="erp", display_name="ERP"),
    facts_pb2.SourceCreated(source="web", display_name="Web"),
    added("root", SERVICE, display_name="Root"),
    bound("root", "b0"),
)
ADA = added("ada")
ADA_GONE = facts_pb2.MemberRemoved(member="ada")


def made() -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"x{next(numbers)}"


def add(kind: pb.MemberKind.ValueType = PERSON, **fields: Any) -> Decide:
    request = wpb.AddMemberRequest(kind=kind, **fields)
    return lambda state: members.decide_add_member(state, request, "acme", COMMITTED, made())


def remove(member: str) -> Decide:
    return lambda state: members.decide_remove_member(state, "acme", member)


def give(member: str, role: pb.RoleGrant) -> Decide:
    return lambda state: members.decide_grant_role(state, "acme", member, role, made())


def revoke(binding: str) -> Decide:
    return lambda state: members.decide_revoke_role(state, "acme", binding)


def make_token(member: str = "ada", **fields: Any) -> Decide:
    request = wpb.CreateTokenRequest(**{"display_name": "T", **fields})
    return lambda state: members.decide_create_token(state, request, "acme", member, "t1", NOW)


def end_token(token_id: str) -> Decide:
    return lambda state: members.decide_revoke_token(state, "acme", token_id)


def erase(member: str, *, known: bool = True) -> Decide:
    return lambda state: members.decide_erase_person(state, "acme", member, known=known)


def stamp(moment: datetime) -> Timestamp:
    made_of = Timestamp()
    made_of.FromDatetime(moment)
    return made_of


# Members


def test_a_person_is_added_without_a_name_in_the_facts() -> None:
    """D13: what must be erasable is not in the log."""
    given(*ACME).when(add(member_id="ada", display_name="Ada", email="ada@example.com")).then(
        added("ada", commitments=COMMITTED), bound("ada", "x1", MEMBER)
    )


def test_a_person_gets_an_id_that_tells_nothing_and_a_program_one_like_its_name() -> None:
    given(*ACME).when(add(display_name="Ada", email="ada@example.com")).then(
        added("mx1", commitments=COMMITTED), bound("mx1", "x2", MEMBER)
    )
    given(*ACME).when(add(SERVICE, display_name="Root")).then(
        added("root-2", SERVICE, display_name="Root"), bound("root-2", "x1", MEMBER)
    )


def test_a_member_begins_with_the_roles_that_are_named_each_once() -> None:
    grants = [grant(ADMIN, ERP, CRM), OWNER, grant(ADMIN, CRM, ERP), OWNER]
    given(*ACME).when(add(member_id="ada", grants=grants)).then(
        added("ada", commitments=COMMITTED),
        bound("ada", "x1", grant(ADMIN, CRM, ERP)),
        bound("ada", "x2", OWNER),
    )


@pytest.mark.parametrize(("before", "told"), [([ADA], "exists already"), ([ADA, ADA_GONE], "was removed")])
def test_an_id_is_given_once_and_for_all(before: list[Message], told: str) -> None:
    error = given(*ACME, *before).when(add(member_id="ada")).refused("ALREADY_EXISTS", "ALREADY_EXISTS")
    assert told in error.message


def test_the_first_releases_owner_has_its_id() -> None:
    first = facts_pb2.TokenCreated(token="t0", display_name="Owner", role="owner")
    given(WORKSPACE, first).when(add(member_id="owner")).refused("ALREADY_EXISTS", "ALREADY_EXISTS")
    given(WORKSPACE, first).when(remove("owner")).refused("FAILED_PRECONDITION", "WRONG_STATE")
    given(WORKSPACE, first).when(add(SERVICE, display_name="Owner")).then(
        added("owner-2", SERVICE, display_name="Owner"), bound("owner-2", "x1", MEMBER)
    )


@pytest.mark.parametrize(
    ("kind", "fields", "field"),
    [
        (SERVICE, {"display_name": ""}, "display_name"),
        (SERVICE, {"display_name": "  "}, "display_name"),
        (SERVICE, {"display_name": "CI", "email": "ci@example.com"}, "email"),
        (PERSON, {"email": "ada"}, "email"),
        (PERSON, {"email": "ada@"}, "email"),
        (PERSON, {"email": "a@b@c"}, "email"),
        (PERSON, {"email": "ada lovelace@example.com"}, "email"),
        (PERSON, {"email": "ada@exam\x07ple.com"}, "email"),
    ],
)
def test_what_nobody_can_be_is_refused(kind: pb.MemberKind.ValueType, fields: dict[str, str], field: str) -> None:
    error = given(*ACME).when(add(kind, **fields)).refused("INVALID_ARGUMENT", "INVALID_FIELD")
    assert [name for name, _ in error.violations] == [field]


def test_a_workspace_has_so_many_members_and_no_more() -> None:
    full = [added(f"m{n}") for n in range(MEMBERS_MAX - 1)]
    error = given(*ACME, *full).when(add()).refused("RESOURCE_EXHAUSTED", "LIMIT_REACHED")
    assert error.metadata == {"limit": "members_max", "max": str(MEMBERS_MAX)}
    given(*ACME, *full, facts_pb2.MemberRemoved(member="m7")).when(add()).decided()


def test_a_commitment_is_a_hash_of_salt_name_and_value() -> None:
    """D13."""
    committed = commitments(b"salt", {"display_name": "Ada", "email": ""})
    assert committed == {"display_name": hashlib.sha256(b"saltdisplay_nameAda").hexdigest()}
    assert commitments(b"pepper", {"display_name": "Ada"}) != committed


def test_a_member_goes_with_its_tokens() -> None:
    tokens = [token("t2"), token("t1"), token("t3", "root")]
    given(*ACME, ADA, bound("ada", "b1", MEMBER), *tokens).when(remove("ada")).then(
        facts_pb2.TokenRevoked(token="t1"), facts_pb2.TokenRevoked(token="t2"), ADA_GONE
    )


@pytest.mark.parametrize("decide", [remove("bob"), give("bob", OWNER), make_token("bob"), erase("bob")])
def test_what_is_done_to_nobody_is_not_found(decide: Decide) -> None:
    given(*ACME).when(decide).refused("NOT_FOUND", "NOT_FOUND")


# The last owner


def test_the_last_owner_can_neither_be_removed_nor_lose_its_role() -> None:
    for decide in (remove("root"), revoke("b0")):
        error = given(*ACME, ADA, bound("ada", "b1", MEMBER)).when(decide)
        assert "Grant another member ROLE_OWNER first" in error.refused("FAILED_PRECONDITION", "WRONG_STATE").message


def test_one_of_two_owners_can_go() -> None:
    two = (*ACME, ADA, bound("ada", "b1"))
    given(*two).when(remove("root")).then(facts_pb2.MemberRemoved(member="root"))
    given(*two).when(revoke("b0")).then(facts_pb2.RoleRevoked(binding="b0", member="root"))
    given(*two, facts_pb2.RoleRevoked(binding="b0", member="root")).when(revoke("b1")).refused(
        "FAILED_PRECONDITION", "WRONG_STATE"
    )


def test_a_token_that_is_narrowed_to_the_owners_role_makes_no_owner() -> None:
    narrowed = token("t1", "ada", grants=[OWNER])
    given(*ACME, ADA, narrowed).when(remove("root")).refused("FAILED_PRECONDITION", "WRONG_STATE")
    given(*ACME, ADA, narrowed).when(revoke("b0")).refused("FAILED_PRECONDITION", "WRONG_STATE")


# Roles


def test_a_role_is_granted_for_all_in_one_form() -> None:
    for scope in (None, pb.RoleScope(all=True)):
        given(*ACME, ADA).when(give("ada", pb.RoleGrant(role=ADMIN, scope=scope))).then(
            bound("ada", "x1", grant(ADMIN))
        )


def test_the_same_grant_again_changes_nothing() -> None:
    for before, again in ((grant(ADMIN), grant(ADMIN)), (grant(ADMIN, CRM, ERP), grant(ADMIN, ERP, CRM))):
        given(*ACME, ADA, bound("ada", "b1", before)).when(give("ada", again)).then()
    given(*ACME, ADA, bound("ada", "b1", grant(ADMIN, CRM))).when(give("ada", grant(ADMIN))).then(
        bound("ada", "x1", grant(ADMIN))
    )


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (grant(ADMIN, WEB), "INVALID_ARGUMENT"),
        (grant(pb.ROLE_FUNCTIONS_READ_ONLY, WEB), "INVALID_ARGUMENT"),
        (grant(pb.ROLE_SOURCE_ADMIN, CRM), "INVALID_ARGUMENT"),
        (grant(pb.ROLE_OWNER, CRM), "INVALID_ARGUMENT"),
        (grant(pb.ROLE_MEMBER, CRM), "INVALID_ARGUMENT"),
        (grant(pb.ROLE_AUDITOR, WEB), "INVALID_ARGUMENT"),
        (grant(ADMIN, "crm"), "INVALID_ARGUMENT"),
        (grant(ADMIN, "workspaces/acme/functions/crm/versions/1"), "INVALID_ARGUMENT"),
        (pb.RoleGrant(role=ADMIN, scope=pb.RoleScope()), "INVALID_ARGUMENT"),
        (pb.RoleGrant(role=ADMIN, scope=pb.RoleScope(all=False)), "INVALID_ARGUMENT"),
        (pb.RoleGrant(role=ADMIN, scope=pb.RoleScope(label_selector=pb.LabelSelector())), "INVALID_ARGUMENT"),
        (grant(ADMIN, CRM, "workspaces/acme/functions/none"), "NOT_FOUND"),
        (grant(ADMIN, "workspaces/other/functions/crm"), "NOT_FOUND"),
        (grant(pb.ROLE_SOURCE_ADMIN, "workspaces/acme/sources/none"), "NOT_FOUND"),
    ],
)
def test_a_role_holds_only_for_what_fits_it_and_is_there(asked: pb.RoleGrant, code: str) -> None:
    """H1: another workspace's resource looks like one that never was."""
    reason = "NOT_FOUND" if code == "NOT_FOUND" else "INVALID_FIELD"
    decisions = [
        (give("ada", asked), "grant"),
        (add(grants=[asked]), "grants[0]"),
        (make_token(grants=[asked]), "grants[0]"),
    ]
    for decide, field in decisions:
        error = given(*ACME, ADA).when(decide).refused(code, reason)
        assert code == "NOT_FOUND" or error.violations[0][0].startswith(field)


def test_what_was_deleted_can_not_be_granted() -> None:
    deleted = facts_pb2.FunctionDeleted(function="erp")
    given(*ACME, ADA, deleted).when(give("ada", grant(ADMIN, ERP))).refused("NOT_FOUND", "NOT_FOUND")


def test_a_member_has_so_many_roles_and_no_more() -> None:
    full = [
        bound("ada", f"b{n}", grant(ADMIN, f"workspaces/acme/functions/f{n}")) for n in range(BINDINGS_PER_MEMBER_MAX)
    ]
    given(*ACME, ADA, *full).when(give("ada", OWNER)).refused("RESOURCE_EXHAUSTED", "LIMIT_REACHED")
    given(*ACME, ADA, *full[1:]).when(give("ada", OWNER)).decided()


def test_a_members_roles_and_a_tokens_grants_name_so_many_and_no_more() -> None:
    """All of it is read at each call."""
    sources = [facts_pb2.SourceCreated(source=f"s{n}") for n in range(NAMES_MAX)]
    names = [f"workspaces/acme/sources/s{n}" for n in range(NAMES_MAX)]
    half, other = grant(pb.ROLE_SOURCE_ADMIN, *names[:500]), grant(pb.ROLE_SOURCE_ADMIN, *names[500:])
    one_more = grant(pb.ROLE_SOURCE_ADMIN, WEB)
    had = (*ACME, *sources, ADA, bound("ada", "b1", half))
    given(*had).when(give("ada", other)).then(bound("ada", "x1", other))
    full = given(*had, bound("ada", "b2", other))
    for decide in (
        give("ada", one_more),
        add(grants=[half, other, one_more]),
        make_token(grants=[half, other, one_more]),
    ):
        full.when(decide).refused("RESOURCE_EXHAUSTED", "LIMIT_REACHED")
    given(*had, bound("ada", "b2", other)).when(give("ada", OWNER)).then(bound("ada", "x1", OWNER))


def test_a_role_that_nobody_has_can_not_be_revoked() -> None:
    given(*ACME).when(revoke("b9")).refused("NOT_FOUND", "NOT_FOUND")
    gone = (*ACME, ADA, bound("ada", "b1", MEMBER), ADA_GONE)
    given(*gone).when(revoke("b1")).refused("NOT_FOUND", "NOT_FOUND")


# Tokens


def test_a_token_belongs_to_its_member_and_may_be_narrowed() -> None:
    later = stamp(NOW + timedelta(days=1))
    given(*ACME, ADA).when(make_token()).then(token("t1"))
    given(*ACME, ADA).when(make_token(grants=[grant(ADMIN, CRM)], expire_time=later)).then(
        token("t1", grants=[grant(ADMIN, CRM)], expire_time=later)
    )


@pytest.mark.parametrize(
    "expire_time",
    [stamp(NOW), stamp(NOW - timedelta(days=1)), Timestamp(), Timestamp(seconds=2**60), Timestamp(seconds=-(2**60))],
)
def test_a_token_that_would_never_work_is_refused(expire_time: Timestamp) -> None:
    error = given(*ACME, ADA).when(make_token(expire_time=expire_time)).refused("INVALID_ARGUMENT", "INVALID_FIELD")
    assert error.violations[0][0] == "expire_time"


def test_a_member_has_so_many_tokens_and_no_more() -> None:
    full = [token(f"t{n + 2}") for n in range(TOKENS_PER_MEMBER_MAX)]
    given(*ACME, ADA, *full).when(make_token()).refused("RESOURCE_EXHAUSTED", "LIMIT_REACHED")
    given(*ACME, ADA, *full).when(make_token("root")).then(token("t1", "root"))
    given(*ACME, ADA, *full, facts_pb2.TokenRevoked(token="t2")).when(make_token()).then(token("t1"))


def test_a_token_ends_once() -> None:
    given(*ACME, ADA, token("t1")).when(end_token("t1")).then(facts_pb2.TokenRevoked(token="t1"))
    ended = (*ACME, ADA, token("t1"), facts_pb2.TokenRevoked(token="t1"))
    given(*ended).when(end_token("t1")).refused("NOT_FOUND", "NOT_FOUND")


# Erasing


def test_a_person_is_erased_after_it_was_removed() -> None:
    """D13."""
    error = given(*ACME, ADA).when(erase("ada")).refused("FAILED_PRECONDITION", "WRONG_STATE")
    assert "remove the member first" in error.message
    given(*ACME, ADA, ADA_GONE).when(erase("ada")).then(facts_pb2.PersonErased(member="ada"))


def test_who_was_erased_already_leaves_no_second_fact() -> None:
    given(*ACME, ADA, ADA_GONE, facts_pb2.PersonErased(member="ada")).when(erase("ada", known=False)).then()
