"""Who a token is and what it may do, from the registry's own tables."""

from __future__ import annotations

import hmac
from datetime import timedelta

import asyncpg

from kit.auth.authorizer import workspace_in
from kit.auth.caller import OPERATOR_PRINCIPAL, Caller
from kit.auth.tokens import TOKEN_LENGTH_MAX, parse_token, secret_matches
from kit.clock import Clock
from kit.errors import InvalidToken, PermissionDenied
from kit.postgres.pool import Pool
from onward.common.v1 import access_pb2
from services.registry.domain.workspaces import OWNER_ROLE
from services.registry.errors import Missing
from services.registry.queries import queries

# The last use is for people who look for unused tokens; a write for each call would cost more than the call.
LAST_USED_RESOLUTION = timedelta(minutes=1)

_WORKSPACE_PERMISSIONS = frozenset(
    value
    for value in access_pb2.Permission.values()
    if value
    not in (
        access_pb2.PERMISSION_UNSPECIFIED,
        access_pb2.PERMISSION_NONE,
        access_pb2.PERMISSION_OPERATE,
        access_pb2.PERMISSION_SERVICE,
    )
)
_ROLES = {OWNER_ROLE: _WORKSPACE_PERMISSIONS}


class LocalAuthorizer:
    """The `Authorizer` of the registry: asks the database each time, so that a revoked token fails at once."""

    def __init__(self, pool: Pool, clock: Clock, operator_token: str) -> None:
        self._pool = pool
        self._clock = clock
        self._operator_token = operator_token.encode()

    async def authorize(self, token: str, permission: int, resource: str) -> Caller:
        """See kit.auth.authorizer.Authorizer."""
        if self._is_operator(token):
            return _operator(permission)
        parsed = parse_token(token)
        row = await self._pool.fetchrow(queries.token_secret, parsed.id)
        if row is None or not secret_matches(parsed.secret, row["secret_hash"]):
            raise InvalidToken("The token is not known, or it was revoked. Use another one.")
        permissions = _ROLES.get(row["role"], frozenset())
        if permission not in _WORKSPACE_PERMISSIONS:
            raise PermissionDenied("Tokens of a workspace do not allow this.")
        if workspace_in(resource) != row["workspace"]:
            raise Missing(resource or "The resource")
        if permission not in permissions:
            raise PermissionDenied(f"The token's role, {row['role']}, does not allow this.")
        await self._touch(parsed.id, row)
        return Caller(f"token:{parsed.id}", row["workspace"], permissions)

    def _is_operator(self, token: str) -> bool:
        return len(token) <= TOKEN_LENGTH_MAX and hmac.compare_digest(token.encode(), self._operator_token)

    async def _touch(self, token: str, row: asyncpg.Record) -> None:
        now = self._clock.now()
        if row["last_used_at"] is None or now - row["last_used_at"] >= LAST_USED_RESOLUTION:
            await self._pool.execute(queries.touch_token, token, now)


def _operator(permission: int) -> Caller:
    # The operator stands outside all workspaces: sees no code, no events, no secrets.
    if permission != access_pb2.PERMISSION_OPERATE:
        raise PermissionDenied("The operator's token does not open workspaces; use a token of the workspace.")
    return Caller(OPERATOR_PRINCIPAL, "", frozenset({int(access_pb2.PERMISSION_OPERATE)}))
