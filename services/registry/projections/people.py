"""Facts of the workspace itself, its members, roles and tokens to rows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from pathlib import Path
from typing import Any

import orjson
from google.protobuf.message import Message

from kit.eventstore.facts import Fact
from kit.postgres.pool import Connection
from kit.postgres.queries import load_queries
from onward.registry.v1 import facts_pb2, resources_pb2
from services.registry.domain.evolving_people import FIRST_OWNER
from services.registry.domain.grants import scope_of
from services.registry.projections.projector import Projector

queries = load_queries(Path(__file__).parent / "people.sql")


async def _workspace_created(connection: Connection, fact: Fact, data: facts_pb2.WorkspaceCreated) -> None:
    await connection.execute(
        queries.workspace_created,
        fact.workspace,
        fact.recorded_at,
        fact.version,
        data.display_name,
        data.functions_max,
    )


async def _workspace_updated(connection: Connection, fact: Fact, data: facts_pb2.WorkspaceUpdated) -> None:
    await connection.execute(
        queries.workspace_updated,
        fact.workspace,
        fact.version,
        data.display_name if data.HasField("display_name") else None,
        data.members_may_edit_functions if data.HasField("members_may_edit_functions") else None,
    )


async def _limits_set(connection: Connection, fact: Fact, data: facts_pb2.LimitsSet) -> None:
    await connection.execute(
        queries.limits_set,
        fact.workspace,
        fact.version,
        data.functions_max,
        data.retries_max if data.HasField("retries_max") else None,
        data.retry_horizon_max_s if data.HasField("retry_horizon_max_s") else None,
    )


async def _egress_range_allowed(connection: Connection, fact: Fact, data: facts_pb2.EgressRangeAllowed) -> None:
    await connection.execute(queries.egress_range_allowed, fact.workspace, fact.version, data.range)


async def _egress_range_disallowed(connection: Connection, fact: Fact, data: facts_pb2.EgressRangeDisallowed) -> None:
    await connection.execute(queries.egress_range_disallowed, fact.workspace, fact.version, data.range)


async def _member_added(connection: Connection, fact: Fact, data: facts_pb2.MemberAdded) -> None:
    kind = resources_pb2.MemberKind.Name(data.kind)
    await connection.execute(
        queries.member_added, fact.workspace, fact.recorded_at, data.member, kind, data.display_name
    )


async def _member_removed(connection: Connection, fact: Fact, data: facts_pb2.MemberRemoved) -> None:
    await connection.execute(queries.member_removed, fact.workspace, data.member)


async def _person_erased(connection: Connection, fact: Fact, data: facts_pb2.PersonErased) -> None:
    """What it erased is in no projection."""


async def _role_granted(connection: Connection, fact: Fact, data: facts_pb2.RoleGranted) -> None:
    await _bind(connection, fact, data.binding, data.member, data.grant)


async def _bind(connection: Connection, fact: Fact, binding: str, member: str, grant: resources_pb2.RoleGrant) -> None:
    scope = scope_of(grant)
    role = resources_pb2.Role.Name(grant.role)
    await connection.execute(
        queries.role_granted, fact.workspace, fact.recorded_at, binding, member, role, scope.all, sorted(scope.ids)
    )


async def _role_revoked(connection: Connection, fact: Fact, data: facts_pb2.RoleRevoked) -> None:
    await connection.execute(queries.role_revoked, fact.workspace, data.binding)


async def _token_created(connection: Connection, fact: Fact, data: facts_pb2.TokenCreated) -> None:
    if not data.member:
        await _first_owner(connection, fact)
    await connection.execute(
        queries.token_created,
        fact.workspace,
        fact.recorded_at,
        data.token,
        data.display_name,
        data.member or FIRST_OWNER,
        orjson.dumps([_grant_json(one) for one in data.grants]).decode(),
        data.expire_time.ToDatetime(UTC) if data.HasField("expire_time") else None,
    )


async def _first_owner(connection: Connection, fact: Fact) -> None:
    """Of a workspace of the first release: see services.registry.domain.evolving_people."""
    kind = resources_pb2.MemberKind.Name(resources_pb2.MEMBER_KIND_SERVICE_ACCOUNT)
    await connection.execute(queries.member_added, fact.workspace, fact.recorded_at, FIRST_OWNER, kind, "Owner")
    grant = resources_pb2.RoleGrant(role=resources_pb2.ROLE_OWNER)
    await _bind(connection, fact, FIRST_OWNER, FIRST_OWNER, grant)


def _grant_json(grant: resources_pb2.RoleGrant) -> dict[str, Any]:
    scope = scope_of(grant)
    return {"role": resources_pb2.Role.Name(grant.role), "everything": scope.all, "ids": sorted(scope.ids)}


async def _token_revoked(connection: Connection, fact: Fact, data: facts_pb2.TokenRevoked) -> None:
    await connection.execute(queries.token_revoked, fact.workspace, data.token)


async def _nothing(connection: Connection, fact: Fact, data: Message) -> None:
    """For the trail only."""


PROJECTORS: Mapping[type[Message], Projector] = {
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
    facts_pb2.AccessDenied: _nothing,
    facts_pb2.KeysRotated: _nothing,
    facts_pb2.SecretSought: _nothing,
}
