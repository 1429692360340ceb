"""The operator's keys: checked at the start, and one put in the place of another while everything stays readable."""

from __future__ import annotations

from collections.abc import Mapping

import asyncpg
import structlog

from kit.auth.caller import current_caller
from kit.eventstore.facts import SYSTEM_WORKSPACE, Meta, NewFact
from kit.eventstore.store import EventStore
from kit.postgres.pool import Connection, Pool
from kit.rpc.nul import refuse_nul
from kit.telemetry.trace import traceparent
from kit.vault import DataKey, Keyring, UnknownKeyError, VaultError, WrongKeyError
from onward.registry.v1 import facts_pb2, operator_service_pb2
from services.registry.handlers.clients import client_of, keep_client
from services.registry.handlers.repetition import RequestHashes
from services.registry.queries.keys import count_data_keys, queries

RotateKeysRequest = operator_service_pb2.RotateKeysRequest
RotateKeysResponse = operator_service_pb2.RotateKeysResponse

KEYS_STREAM = "keys"
# Of one call; a second's work.
REWRAPPED_DEFAULT = 1_000
# Of one transaction, some 20 ms: for so long the log of the workspace "system" waits.
BATCH_MAX = 250

log = structlog.get_logger(__name__)


async def open_keys(pool: Pool, keyring: Keyring) -> DataKey:
    """Check the operator's keys against the database; gives the data key of the workspace "system".

    Raises WrongKeyError where the current key can't be the database's next one, and UnknownKeyError where a data key
    is wrapped by none of these; nothing is changed then.
    """
    async with pool.transaction() as connection:
        await connection.execute(queries.lock_keys)
        await _know(connection, keyring)
        await _refuse_missing(connection, keyring)
        return await _system_key(connection, keyring)


async def _know(connection: Connection, keyring: Keyring) -> None:
    known = {row["key_id"]: bytes(row["check_value"]) for row in await connection.fetch(queries.known_keys)}
    keys = keyring.keys
    for key_id in keys.keys() & known.keys():
        keys[key_id].verify(key_id, known[key_id])
    if keyring.key_id in known:
        return
    if known and not keys.keys() & known.keys():
        raise WrongKeyError(
            f"the key encryption key (id {keyring.key_id}) is not the one that this database was sealed with"
            f" (id {' or '.join(known)}): give that key; nothing was changed"
        )
    await connection.execute(queries.insert_known_key, keyring.key_id, keyring.current.check_value())
    log.info("operator_key_added", key_id=keyring.key_id)


async def _refuse_missing(connection: Connection, keyring: Keyring) -> None:
    """A key may be taken away only when it wraps nothing any more."""
    for key_id, data_keys in (await count_data_keys(connection)).items():
        if key_id not in keyring.keys:
            raise UnknownKeyError(key_id, keyring.keys, data_keys)


async def _system_key(connection: Connection, keyring: Keyring) -> DataKey:
    row = await connection.fetchrow(queries.data_key, SYSTEM_WORKSPACE)
    if row is not None:
        return keyring.unwrap(row["key_id"], row["wrapped_key"], SYSTEM_WORKSPACE)
    key = DataKey.generate()
    wrapped = keyring.wrap(key, SYSTEM_WORKSPACE)
    await connection.execute(queries.insert_data_key, SYSTEM_WORKSPACE, wrapped, keyring.key_id)
    return key


class KeyHandlers:
    """The operator's commands on keys. Their facts belong to no workspace, so `Changes` has no part in them."""

    def __init__(self, store: EventStore, pool: Pool, keyring: Keyring, hashes: RequestHashes) -> None:
        self._store = store
        self._pool = pool
        self._keyring = keyring
        self._hashes = hashes

    async def rotate(self, request: RotateKeysRequest) -> RotateKeysResponse:
        """Wraps data keys by the current key, batch by batch; what a crash leaves, the next call finds."""
        refuse_nul(request)
        recalled = await self._recalled(request)
        if recalled is not None:
            return recalled
        rotation = _Rotation(self._keyring)
        limit = request.limit or REWRAPPED_DEFAULT
        while rotation.seen < limit and not rotation.done:
            await self._rewrap(rotation, min(BATCH_MAX, limit - rotation.seen), request.request_id)
        return await self._finish(request, rotation)

    async def status(self) -> operator_service_pb2.GetKeyStatusResponse:
        """Which key wraps how many data keys."""
        counts = await count_data_keys(self._pool)
        configured = self._keyring.keys
        return operator_service_pb2.GetKeyStatusResponse(
            current_key_id=self._keyring.key_id,
            keys=[
                operator_service_pb2.KeyStatus(
                    key_id=key_id, configured=key_id in configured, data_keys=counts.get(key_id, 0)
                )
                for key_id in dict.fromkeys([*configured, *counts])
            ],
            behind=_behind(counts, self._keyring.key_id),
        )

    async def _recalled(self, request: RotateKeysRequest) -> RotateKeysResponse | None:
        if not request.request_id:
            return None
        async with self._store.writing(SYSTEM_WORKSPACE) as unit:
            stored = await self._hashes.answered(unit.answered, current_caller().principal, request)
        return RotateKeysResponse.FromString(stored) if stored is not None else None

    async def _rewrap(self, rotation: _Rotation, limit: int, request_id: str) -> None:
        """One batch and its fact, in a transaction of their own."""
        caller = current_caller()
        client = client_of(caller)
        meta = Meta(
            caller.principal,
            credential=caller.credential,
            request_id=request_id,
            traceparent=traceparent(),
            commitments=client.commitments,
        )
        async with self._store.writing(SYSTEM_WORKSPACE) as unit:
            rewrapped = await rotation.rewrap(unit.connection, limit)
            if rewrapped:
                fact = facts_pb2.KeysRotated(key_id=self._keyring.key_id, rewrapped=rewrapped)
                facts = await unit.append([NewFact(KEYS_STREAM, fact)], meta)
                await keep_client(unit.connection, client, meta, facts)

    async def _finish(self, request: RotateKeysRequest, rotation: _Rotation) -> RotateKeysResponse:
        """The answer, remembered for whoever repeats the request."""
        principal = current_caller().principal
        async with self._store.writing(SYSTEM_WORKSPACE) as unit:
            if request.request_id:
                # The same request at once: the other one answered first.
                stored = await self._hashes.answered(unit.answered, principal, request)
                if stored is not None:
                    return RotateKeysResponse.FromString(stored)
            behind = _behind(await count_data_keys(unit.connection), self._keyring.key_id)
            answer = RotateKeysResponse(
                rewrapped=rotation.rewrapped, behind=behind, key_id=self._keyring.key_id, position=unit.position
            )
            if request.request_id:
                request_hash = self._hashes.current(request)
                await unit.remember(principal, request.request_id, request_hash, answer.SerializeToString())
        return answer


class _Rotation:
    """How far one call has come. It passes over a data key that does not open, which stays behind."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._after = ""
        self.seen = 0
        self.rewrapped = 0
        self.done = False

    async def rewrap(self, connection: Connection, limit: int) -> int:
        """The number of data keys that the next batch wrapped anew."""
        keys = self._keyring
        rows = await connection.fetch(queries.lock_data_keys_behind, keys.key_id, list(keys.keys), self._after, limit)
        self.seen += len(rows)
        self.done = len(rows) < limit
        rewrapped = {row["workspace"]: wrapped for row in rows if (wrapped := self._rewrapped(row)) is not None}
        await connection.execute(
            queries.rewrap_data_keys, keys.key_id, list(rewrapped.keys()), list(rewrapped.values())
        )
        self._after = rows[-1]["workspace"] if rows else self._after
        self.rewrapped += len(rewrapped)
        return len(rewrapped)

    def _rewrapped(self, row: asyncpg.Record) -> bytes | None:
        try:
            return self._keyring.rewrap(row["key_id"], row["wrapped_key"], row["workspace"])
        except VaultError as error:
            log.warning("data_key_unreadable", workspace=row["workspace"], key_id=row["key_id"], reason=str(error))
            return None


def _behind(counts: Mapping[str, int], key_id: str) -> int:
    return sum(data_keys for wrapped_by, data_keys in counts.items() if wrapped_by != key_id)
