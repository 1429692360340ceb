"""Roles as they are written and shown."""

from __future__ import annotations

import pytest

from cli.failures import UsageError
from cli.options import Options
from cli.role_text import ROLES, grant_text, grant_words, parse_grant
from cli.session import Session
from onward.registry.v1.resources_pb2 import Role, RoleGrant

SESSION = Session(Options(workspace="acme"))


@pytest.mark.parametrize("text", [*ROLES, "functions-admin:crm,alerts", "functions-read-only:crm", "source-admin:web"])
def test_a_role_is_shown_as_it_is_written(text: str) -> None:
    assert grant_text(parse_grant(SESSION, text)) == text


def test_names_become_those_of_the_roles_own_kind_in_the_workspace() -> None:
    names = parse_grant(SESSION, "functions-admin: crm, workspaces/acme/functions/x").scope.names.names
    assert list(names) == ["workspaces/acme/functions/crm", "workspaces/acme/functions/x"]
    assert list(parse_grant(SESSION, "source-admin:web").scope.names.names) == ["workspaces/acme/sources/web"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("owner", ("owner", "the workspace")),
        ("source-admin", ("source-admin", "all sources")),
        ("functions-admin:crm,alerts", ("functions-admin", "crm, alerts")),
    ],
)
def test_a_table_tells_what_a_role_holds_for(text: str, words: tuple[str, str]) -> None:
    assert grant_words(parse_grant(SESSION, text)) == words


def test_a_role_of_a_later_version_is_shown_by_its_number() -> None:
    grant = RoleGrant()
    grant.ParseFromString(b"\x08\x63")
    assert grant_text(grant) == "99"
    assert Role.ROLE_UNSPECIFIED not in ROLES.values()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("boss", "'boss' is not a role: use one of owner, functions-admin"),
        ("unspecified", "is not a role"),
        ("auditor:web", "auditor holds for the whole workspace: leave out :web"),
        ("functions-admin:", "write functions-admin for all, or functions-admin:NAME,NAME for some"),
        ("functions-admin:, ,", "names none of the functions"),
        ("source-admin:We b", "is not an id"),
    ],
)
def test_what_is_no_role_is_refused_with_what_is_one(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        parse_grant(SESSION, text)
