"""Roles as they are written on the command line and shown: ROLE, or ROLE:NAME,NAME for some of its things."""

from __future__ import annotations

from collections.abc import Iterable

from cli.failures import UsageError
from cli.output import last_part
from cli.session import Kind, Session
from onward.registry.v1.resources_pb2 import ResourceNames, Role, RoleGrant, RoleScope

ROLES = {
    name.removeprefix("ROLE_").lower().replace("_", "-"): Role.Value(name)
    for name in Role.keys()  # noqa: SIM118  # an enum's wrapper, not a mapping
    if name != "ROLE_UNSPECIFIED"
}
_WORDS = {number: word for word, number in ROLES.items()}
# What a role can be given for a part of.
_KINDS: dict[int, Kind] = {
    Role.ROLE_FUNCTIONS_ADMIN: "functions",
    Role.ROLE_FUNCTIONS_READ_ONLY: "functions",
    Role.ROLE_SOURCE_ADMIN: "sources",
}


def parse_grants(session: Session, texts: Iterable[str]) -> list[RoleGrant]:
    """Read texts such as `auditor` and `functions-admin:crm,alerts`. Raises UsageError."""
    return [parse_grant(session, text) for text in texts]


def parse_grant(session: Session, text: str) -> RoleGrant:
    """Read one text. Raises UsageError."""
    word, colon, listed = text.partition(":")
    if word not in ROLES:
        raise UsageError(f"{word!r} is not a role: use one of {', '.join(ROLES)}")
    role = ROLES[word]
    if not colon:
        return RoleGrant(role=role)
    kind = _KINDS.get(role)
    if kind is None:
        raise UsageError(f"{word} holds for the whole workspace: leave out {colon}{listed}")
    names = [session.name(kind, one.strip()) for one in listed.split(",") if one.strip()]
    if not names:
        raise UsageError(f"{text!r} names none of the {kind}: write {word} for all, or {word}:NAME,NAME for some")
    return RoleGrant(role=role, scope=RoleScope(names=ResourceNames(names=names)))


def grant_text(grant: RoleGrant) -> str:
    """Give a grant as parse_grant reads it."""
    word = _WORDS.get(grant.role, str(grant.role))
    names = grant.scope.names.names
    return f"{word}:{','.join(map(last_part, names))}" if names else word


def grant_words(grant: RoleGrant) -> tuple[str, str]:
    """Give the role and what it holds for, for a table."""
    word = _WORDS.get(grant.role, str(grant.role))
    names = grant.scope.names.names
    if names:
        return word, ", ".join(map(last_part, names))
    return word, f"all {_KINDS[grant.role]}" if grant.role in _KINDS else "the workspace"


def grants_text(grants: Iterable[RoleGrant]) -> str:
    """Give several as one cell."""
    return ", ".join(map(grant_text, grants))
