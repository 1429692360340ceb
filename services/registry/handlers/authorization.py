"""Who a token is and what it may do, from the registry's own tables."""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

import asyncpg
import structlog

from kit.auth.caller import OPERATOR_PRINCIPAL, Caller
from kit.auth.demand import Demand
from kit.auth.denials import TOKEN_PREFIX
from kit.auth.names import workspace_in
from kit.auth.oidc import Identity, OidcVerifier
from kit.auth.tokens import TOKEN_LENGTH_MAX, looks_like_jwt, parse_token, secret_matches
from kit.clock import Clock
from kit.errors import InvalidToken, OnwardError, PermissionDenied
from kit.eventstore.facts import SYSTEM_WORKSPACE
from kit.postgres.pool import Connection, Pool
from onward.common.v1 import access_pb2
from services.registry.domain.rights import Rights, Target, allows, allows_anywhere, roles_that_allow
from services.registry.errors import Missing
from services.registry.queries.access import kind_of, queries, read_target, rights_of
from services.registry.queries.rows import require

log = structlog.get_logger(__name__)

# The last use is for people who look for unused tokens; a write for each call would cost more than the call.
LAST_USED_RESOLUTION = timedelta(minutes=1)
# How long, and how many, callers are remembered for mutations that confirm them; about 1 MB.
REMEMBERED_S = 1.0
REMEMBERED_MAX = 1_000
MEMBER_PREFIX = "member:"
OIDC = "oidc"

_OUTSIDE_WORKSPACES = frozenset(
    {
        access_pb2.PERMISSION_UNSPECIFIED,
        access_pb2.PERMISSION_NONE,
        access_pb2.PERMISSION_OPERATE,
        access_pb2.PERMISSION_SERVICE,
    }
)


@dataclass(frozen=True, slots=True)
class Standing:
    """Somebody who proved who he is, and his rights in his workspace."""

    workspace: str
    member: str
    credential: str
    rights: Rights
    known_at: int = 0

    def principal_in(self, workspace: str) -> str:
        """Who he is to a workspace: members of others are not to be named in it."""
        return f"{MEMBER_PREFIX}{self.member}" if workspace == self.workspace else self.credential

    def holds_anywhere(self, permission: int, resource: str) -> bool:
        """Whether he may do that, whatever in his workspace it is that the name names."""
        if permission in _OUTSIDE_WORKSPACES or workspace_in(resource) != self.workspace:
            return False
        return allows_anywhere(self.rights, permission, kind_of(resource))

    def caller(self, demand: Demand) -> Caller:
        return Caller(
            f"{MEMBER_PREFIX}{self.member}",
            self.workspace,
            frozenset(permission for permission, _ in demand.pairs),
            credential=self.credential,
            functions=self.rights.read,
            sources=self.rights.sources,
            demand=demand,
            known_at=self.known_at,
        )


class _Proven(NamedTuple):
    """What a token was when it was last looked up."""

    standing: Standing
    secret_hash: bytes
    read_at_s: float


class LocalAuthorizer:
    """The `Authorizer` of the registry: asks the database each time, so that a revoked token fails at once.

    What it remembers for a second is for those alone who ask again together with their effect.
    """

    def __init__(self, pool: Pool, clock: Clock, operator_token: str, oidc: OidcVerifier | None = None) -> None:
        """`oidc` verifies an identity provider's tokens; without it there are none but our own."""
        self._pool = pool
        self._clock = clock
        self._operator_token = operator_token.encode()
        self._oidc = oidc
        self._proven: OrderedDict[str, _Proven] = OrderedDict()

    async def authorize(self, token: str, demand: Demand) -> Caller:
        """See kit.auth.authorizer.Authorizer."""
        if self._is_operator(token):
            return _operator(demand)
        standing = await self._identify(token, demand) if looks_like_jwt(token) else await self._prove(token)
        await self._require(self._pool, standing, demand)
        return standing.caller(demand)

    def remembered(self, token: str, demand: Demand) -> Caller | None:
        """The caller by what was read within the last second, for who confirms it; None where that does not tell.

        Only of rights that facts alone end: the caller's `known_at` says which ones are known.
        """
        try:
            parsed = parse_token(token)
        except InvalidToken:
            return None
        proven = self._proven.get(parsed.id)
        if proven is None or self._clock.monotonic() - proven.read_at_s >= REMEMBERED_S:
            self._proven.pop(parsed.id, None)
            return None
        if not secret_matches(parsed.secret, proven.secret_hash):
            return None
        holds = all(proven.standing.holds_anywhere(*pair) for pair in demand.pairs)
        return proven.standing.caller(demand) if holds else None

    def forget(self, workspace: str) -> None:
        """What is remembered of a workspace's callers would only have their changes take the long way."""
        for token_id in [one for one, proven in self._proven.items() if proven.standing.workspace == workspace]:
            del self._proven[token_id]

    async def permitted(self, caller: Caller, resource: str, permissions: Iterable[int]) -> list[int]:
        """Those of the permissions that a caller, who was let in before, has on the resource."""
        standing = await self.standing(self._pool, caller)
        target = await read_target(self._pool, resource)
        if target.deleted and not standing.rights.history:
            # As in `_require`: to others it is one that never was, which no role for some names.
            target = Target(target.kind)
        return [one for one in dict.fromkeys(permissions) if allows(standing.rights, one, target)]

    async def confirm(self, connection: Connection, caller: Caller) -> Caller:
        """The caller of a mutation with the rights that it has now, under the workspace's lock.

        Decision and effect are then one transaction. Raises what `authorize` raises.
        """
        demand = caller.demand
        if demand is None or not caller.principal.startswith(MEMBER_PREFIX):
            return caller
        standing = await self.standing(connection, caller)
        await self._require(connection, standing, demand)
        return standing.caller(demand)

    async def standing(self, connection: Connection | Pool, caller: Caller) -> Standing:
        """The rights that a caller, who was let in before, has now. Raises InvalidToken."""
        if caller.credential.startswith(TOKEN_PREFIX):
            row = await self._token(connection, caller.credential.removeprefix(TOKEN_PREFIX))
        else:
            member = caller.principal.removeprefix(MEMBER_PREFIX)
            held = await connection.fetchrow(queries.member, caller.workspace, member)
            # Who is no member any more is an outsider.
            row = require(held, f"workspaces/{caller.workspace}")
        return Standing(caller.workspace, row["member"], caller.credential, rights_of(row))

    async def reader(self, token_id: str, secret: str | None = None) -> tuple[str, datetime | None]:
        """The workspace whose facts a token may read, and until when; without a secret, of one that was let in.

        Raises InvalidToken and PermissionDenied.
        """
        row = await self._token(self._pool, token_id, secret)
        if secret is not None:
            await self._touch(token_id, row)
        workspace: str = row["workspace"]
        if not rights_of(row).audit:
            error = PermissionDenied(
                "Facts are for owners and auditors of the workspace.",
                metadata={"permission": "AUDIT_VIEW", "resource": f"workspaces/{workspace}"},
            )
            error.principal = f"{MEMBER_PREFIX}{row['member']}"
            raise error
        return workspace, row["expire_time"]

    async def _token(self, connection: Connection | Pool, token_id: str, secret: str | None = None) -> asyncpg.Record:
        """A token that works; without a secret, of somebody who was let in before."""
        row = await connection.fetchrow(queries.token, token_id)
        if row is None or (secret is not None and not secret_matches(secret, row["secret_hash"])):
            raise _unknown()
        self._refuse_expired(row)
        return row

    async def _prove(self, token: str) -> Standing:
        parsed = parse_token(token)
        asked_at_s = self._clock.monotonic()
        self._proven.pop(parsed.id, None)
        row = await self._token(self._pool, parsed.id, parsed.secret)
        # A token that expires ends without a fact.
        known_at = row["position"] if row["expire_time"] is None else 0
        standing = Standing(row["workspace"], row["member"], f"{TOKEN_PREFIX}{parsed.id}", rights_of(row), known_at)
        await self._touch(parsed.id, row)
        if known_at:
            self._remember(parsed.id, _Proven(standing, row["secret_hash"], asked_at_s))
        return standing

    def _remember(self, token_id: str, proven: _Proven) -> None:
        self._proven[token_id] = proven
        self._proven.move_to_end(token_id)
        while len(self._proven) > REMEMBERED_MAX:
            self._proven.popitem(last=False)

    async def _identify(self, token: str, demand: Demand) -> Standing:
        """Whom an identity provider's token makes its holder, in the workspace that is asked for."""
        if self._oidc is None:
            raise InvalidToken(
                "Tokens of an identity provider are not accepted here (ONWARD_OIDC_ISSUER is not set);"
                " use one of Onward's, onw_<id>_<secret>."
            )
        identity = await self._oidc.verify(token)
        if demand.permission in _OUTSIDE_WORKSPACES:
            raise _outside()
        row = await self._person(demand.workspace, identity)
        if row is None:
            raise Missing(demand.resource or "The resource")
        return Standing(demand.workspace, row["member"], OIDC, rights_of(row))

    async def _person(self, workspace: str, identity: Identity) -> asyncpg.Record | None:
        """The member whose subject it is; one who is found by the address has that subject from then on."""
        email = identity.email or ""
        row = await self._pool.fetchrow(queries.person, workspace, identity.issuer, identity.subject, email)
        if row is None or row["bound"]:
            return row
        bound = await self._pool.fetchval(
            queries.bind_subject, workspace, row["member"], identity.issuer, identity.subject
        )
        if not bound:
            # Somebody else with the same address was first, and is the member now.
            return None
        log.info("oidc_subject_bound", workspace=workspace, member=row["member"])
        return row

    def _refuse_expired(self, row: asyncpg.Record) -> None:
        expire_time = row.get("expire_time")
        if expire_time is not None and expire_time <= self._clock.now():
            raise InvalidToken(f"The token expired at {expire_time:%Y-%m-%d %H:%M} UTC. Ask an owner for another one.")

    async def _require(self, connection: Connection | Pool, standing: Standing, demand: Demand) -> None:
        try:
            await self._require_all(connection, standing, demand)
        except OnwardError as error:
            error.principal = standing.principal_in(demand.workspace)
            raise

    async def _require_all(self, connection: Connection | Pool, standing: Standing, demand: Demand) -> None:
        for permission, resource in demand.pairs:
            if permission in _OUTSIDE_WORKSPACES:
                raise _outside()
            if Demand(permission, resource).workspace != standing.workspace:
                raise Missing(resource or "The resource")
            if allows_anywhere(standing.rights, permission, kind_of(resource)):
                # Whatever it is: there is no need to read it.
                continue
            target = await read_target(connection, resource)
            if not allows(standing.rights, permission, target, partial=demand.partial):
                if target.deleted and allows(standing.rights, permission, replace(target, deleted=False)):
                    # To whoever may not read its history, a deleted function is one that never was.
                    raise Missing(resource)
                raise _lacks_role(permission, resource)

    def _is_operator(self, token: str) -> bool:
        return len(token) <= TOKEN_LENGTH_MAX and hmac.compare_digest(token.encode(), self._operator_token)

    async def _touch(self, token: str, row: asyncpg.Record) -> None:
        now = self._clock.now()
        if is_use_worth_noting(row["last_used_at"], now):
            await self._pool.execute(queries.touch_token, token, now)


def is_use_worth_noting(last_used_at: datetime | None, now: datetime) -> bool:
    """Whether what is stored of a token's or a key's last use is too old to be left as it is."""
    return last_used_at is None or now - last_used_at >= LAST_USED_RESOLUTION


def _lacks_role(permission: int, resource: str) -> PermissionDenied:
    # Says the same whether the resource exists or not.
    roles = roles_that_allow(permission, kind_of(resource))
    name = access_pb2.Permission.Name(permission)  # type: ignore[arg-type]  # a plain number
    return PermissionDenied(
        f"Your roles do not allow this on {resource}. Ask an owner of the workspace for one that does: {roles}.",
        metadata={"permission": name.removeprefix("PERMISSION_"), "resource": resource},
    )


def _outside() -> PermissionDenied:
    return PermissionDenied("Tokens of a workspace do not allow this.")


def _unknown() -> InvalidToken:
    return InvalidToken("The token is not known, or it was revoked. Use another one.")


def _operator(demand: Demand) -> Caller:
    # The operator stands outside all workspaces: sees no code, no events, no secrets; but it has a trail of its own.
    own_trail = demand.permission == access_pb2.PERMISSION_AUDIT_VIEW and demand.workspace == SYSTEM_WORKSPACE
    if demand.permission != access_pb2.PERMISSION_OPERATE and not own_trail:
        error = PermissionDenied("The operator's token does not open workspaces; use a token of the workspace.")
        error.principal = OPERATOR_PRINCIPAL
        raise error
    return Caller(OPERATOR_PRINCIPAL, demand.workspace, frozenset({demand.permission}), demand=demand)
