"""Who may connect to NATS: publishers with a write key, and readers of facts with a token."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from kit.auth.demand import Demand
from kit.auth.denials import DenialLog
from kit.auth.tokens import TOKEN_MARK, WRITE_KEY_MARK, parse_token, parse_write_key, secret_matches
from kit.clock import Clock
from kit.errors import InvalidToken, OnwardError, PermissionDenied
from kit.nats_auth.admission import Admission, Presented, Refusal, admit_publisher, admit_reader
from kit.postgres.pool import Pool
from onward.common.v1 import access_pb2
from services.registry.domain.sources import source_name
from services.registry.handlers.authorization import LocalAuthorizer, is_use_worth_noting
from services.registry.queries.sources import queries

# The method that refused connections are recorded under.
NATS = "nats"


@dataclass(frozen=True, slots=True)
class Login:
    """A connection that was refused, told like a refused call."""

    token: str = field(repr=False)
    client_address: str
    user_agent: str
    method: str = NATS


class Door:
    """Decides about connections. A key or token is asked about once, when it connects: see `ended` for afterwards."""

    def __init__(self, pool: Pool, authorizer: LocalAuthorizer, clock: Clock, denials: DenialLog) -> None:
        self._pool = pool
        self._authorizer = authorizer
        self._clock = clock
        self._denials = denials

    async def authenticate(self, presented: Presented) -> Admission | Refusal:
        """What the client may do, or why it stays out."""
        try:
            if presented.secret.startswith(WRITE_KEY_MARK):
                return await self._publisher(presented.secret)
            return await self._reader(presented.secret)
        except OnwardError as error:
            login = Login(presented.secret, presented.host, presented.client_name)
            wanted = Demand(access_pb2.PERMISSION_UNSPECIFIED, error.metadata.get("resource", ""))
            self._denials.note(login, wanted, error)
            return Refusal(error.message)

    async def ended(self, names: Iterable[str]) -> list[str]:
        """Those of the connections' names (as admissions have them) that would no longer be let in.

        Raises Unavailable where that can't be told: an outage is no reason to end a connection.
        """
        return [name for name in names if not await self._is_good(name)]

    async def _is_good(self, name: str) -> bool:
        if name.startswith(WRITE_KEY_MARK):
            return await self._pool.fetchrow(queries.write_key_secret, name.removeprefix(WRITE_KEY_MARK)) is not None
        try:
            await self._authorizer.reader(name.removeprefix(TOKEN_MARK))
        except (InvalidToken, PermissionDenied):
            return False
        return True

    async def _publisher(self, secret: str) -> Admission:
        key = parse_write_key(secret)
        row = await self._pool.fetchrow(queries.write_key_secret, key.id)
        if row is None or not secret_matches(key.secret, row["secret_hash"]):
            where = {"resource": source_name(row["workspace"], row["source"])} if row is not None else {}
            raise InvalidToken("The write key is not known, or it was revoked. Use another one.", metadata=where)
        now = self._clock.now()
        if is_use_worth_noting(row["last_used_at"], now):
            await self._pool.execute(queries.touch_write_key, key.id, now)
        return admit_publisher(key.id, row["workspace"], row["source"])

    async def _reader(self, secret: str) -> Admission:
        token = parse_token(secret)
        workspace, expire_time = await self._authorizer.reader(token.id, token.secret)
        return admit_reader(token.id, workspace, expires_at=expire_time)
