"""Members, roles and tokens: rows to the messages that callers see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncpg
import orjson

from kit.auth.demand import EVERYTHING, Subset
from kit.postgres.queries import load_queries
from onward.registry.v1 import resources_pb2 as pb
from services.registry.domain.grants import to_grant
from services.registry.queries.rows import Reader, require, timestamp

queries = load_queries(Path(__file__).parent / "people.sql")


async def find_member(reader: Reader, workspace: str, member: str) -> pb.Member | None:
    """The member with what is known of it; None for one that was removed."""
    row = await reader.fetchrow(queries.member, workspace, member)
    return _member(row) if row else None


async def get_member(reader: Reader, workspace: str, member: str) -> pb.Member:
    """The member with what is known of it; raises Missing."""
    row = await reader.fetchrow(queries.member, workspace, member)
    return _member(require(row, f"workspaces/{workspace}/members/{member}"))


async def list_members(reader: Reader, workspace: str, after: str, limit: int) -> list[pb.Member]:
    """Members by id."""
    return [_member(row) for row in await reader.fetch(queries.list_members, workspace, after, limit)]


async def get_role_binding(reader: Reader, workspace: str, binding: str) -> pb.RoleBinding:
    """The binding; raises Missing."""
    row = await reader.fetchrow(queries.role_binding, workspace, binding)
    return _role_binding(require(row, f"workspaces/{workspace}/roleBindings/{binding}"))


async def role_bindings_of(reader: Reader, workspace: str, member: str) -> list[pb.RoleBinding]:
    """A member's bindings by id."""
    return [_role_binding(row) for row in await reader.fetch(queries.role_bindings_of, workspace, member)]


async def list_role_bindings(reader: Reader, workspace: str, after: str, limit: int) -> list[pb.RoleBinding]:
    """Bindings by id."""
    return [_role_binding(row) for row in await reader.fetch(queries.list_role_bindings, workspace, after, limit)]


async def get_token(reader: Reader, workspace: str, token: str) -> pb.Token:
    """The token without its secret; raises Missing."""
    row = await reader.fetchrow(queries.token, workspace, token)
    return _token(require(row, f"workspaces/{workspace}/tokens/{token}"))


async def list_tokens(reader: Reader, workspace: str, after: str, limit: int) -> list[pb.Token]:
    """Tokens by id."""
    return [_token(row) for row in await reader.fetch(queries.list_tokens, workspace, after, limit)]


def _member(row: asyncpg.Record) -> pb.Member:
    return pb.Member(
        name=f"workspaces/{row['workspace']}/members/{row['member']}",
        kind=pb.MemberKind.Value(row["kind"]),
        display_name=row["display_name"],
        email=row["email"],
        oidc_subject=row["oidc_subject"],
        create_time=timestamp(row["create_time"]),
    )


def _role_binding(row: asyncpg.Record) -> pb.RoleBinding:
    workspace = row["workspace"]
    return pb.RoleBinding(
        name=f"workspaces/{workspace}/roleBindings/{row['binding']}",
        member=f"workspaces/{workspace}/members/{row['member']}",
        grant=_grant(workspace, row),
        create_time=timestamp(row["create_time"]),
    )


def _token(row: asyncpg.Record) -> pb.Token:
    workspace = row["workspace"]
    return pb.Token(
        name=f"workspaces/{workspace}/tokens/{row['token']}",
        display_name=row["display_name"],
        member=f"workspaces/{workspace}/members/{row['member']}",
        grants=[_grant(workspace, one) for one in orjson.loads(row["grants"])],
        expire_time=timestamp(row["expire_time"]),
        last_use_time=timestamp(row["last_used_at"]),
        create_time=timestamp(row["create_time"]),
    )


def _grant(workspace: str, row: Any) -> pb.RoleGrant:
    """Of a row, or of an entry of a token's grants."""
    scope = EVERYTHING if row["everything"] else Subset.of(row["ids"])
    return to_grant(workspace, pb.Role.Value(row["role"]), scope)
