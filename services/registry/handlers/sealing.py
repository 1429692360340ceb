"""Encrypting the values of settings while a change is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog

from kit.errors import Unavailable
from kit.eventstore.facts import NewFact
from kit.postgres.pool import Connection
from kit.vault import DataKey, Keyring, UnknownKeyError, setting_place
from onward.registry.v1 import facts_pb2, resources_pb2
from services.registry.domain.state import State
from services.registry.queries import queries
from services.registry.queries.keys import queries as key_queries

log = structlog.get_logger(__name__)


class Sealer:
    """A workspace's data key for the length of one change; it is made when the first value needs it."""

    def __init__(
        self, keyring: Keyring, workspace: str, data_key: DataKey | None, unreadable: UnknownKeyError | None = None
    ) -> None:
        self._keyring = keyring
        self._workspace = workspace
        self._data_key = data_key
        self._unreadable = unreadable
        self._made = False

    @classmethod
    async def load(cls, connection: Connection, keyring: Keyring, workspace: str) -> Sealer:
        """What needs a data key raises Unavailable later where it is wrapped by a key that is not here."""
        row = await connection.fetchrow(key_queries.data_key, workspace)
        try:
            data_key = keyring.unwrap(row["key_id"], row["wrapped_key"], workspace) if row else None
        except UnknownKeyError as error:
            # Another registry has a newer key already; the start refused any other case.
            return cls(keyring, workspace, None, error)
        return cls(keyring, workspace, data_key)

    @property
    def unused(self) -> bool:
        """Whether no value was ever encrypted: then there is no data key."""
        return self._data_key is None and self._unreadable is None

    def keyed_hash(self, destination: str, name: str, value: resources_pb2.SettingValue) -> str:
        """What a fact may tell of an encrypted value."""
        return self._key().keyed_hash(_plaintext(value), self._place(destination, name))

    async def store(
        self,
        connection: Connection,
        before: State,
        facts: Sequence[NewFact],
        given: Mapping[str, resources_pb2.SettingValue],
    ) -> None:
        """Writes and deletes ciphertexts as the facts say; values are `given`, or were plain before."""
        for fact in facts:
            if not isinstance(fact.data, facts_pb2.SettingsChanged):
                continue
            for change in fact.data.changes:
                await self._store_one(connection, before, fact.data.destination, change, given)
        if self._made:
            wrapped = self._keyring.wrap(self._key(), self._workspace)
            await connection.execute(key_queries.insert_data_key, self._workspace, wrapped, self._keyring.key_id)

    async def _store_one(
        self,
        connection: Connection,
        before: State,
        destination: str,
        change: facts_pb2.SettingChange,
        given: Mapping[str, resources_pb2.SettingValue],
    ) -> None:
        row = (self._workspace, destination, change.name)
        if not change.keyed_hash:
            await connection.execute(queries.delete_encrypted_setting, *row)
            return
        # Subscripting a proto map would insert.
        value = given[change.name] if change.name in given else _plain(before, destination, change.name)
        sealed = self._key().encrypt(_plaintext(value), self._place(destination, change.name))
        await connection.execute(queries.store_encrypted_setting, *row, sealed.nonce, sealed.ciphertext)

    def _key(self) -> DataKey:
        if self._unreadable is not None:
            key_id, advice = self._unreadable.key_id, str(self._unreadable)
            log.warning("operator_key_missing", workspace=self._workspace, key_id=key_id, advice=advice)
            message = "Encrypted settings can't be changed until the operator has mended the keys."
            raise Unavailable(message) from self._unreadable
        if self._data_key is None:
            self._data_key = DataKey.generate()
            self._made = True
        return self._data_key

    def _place(self, destination: str, name: str) -> bytes:
        return setting_place(self._workspace, destination, name)


async def forget(connection: Connection, workspace: str, destination: str) -> None:
    """Deletes what is sealed for a destination, for good. To be called by `decide` of whatever takes destinations away.

    Values are in no fact, so a rebuild or a restored log does not bring them back. In the change's own transaction:
    where the change is refused or the process dies, nothing is gone.
    """
    await connection.execute(queries.delete_encrypted_settings, workspace, destination)


def _plain(before: State, destination: str, name: str) -> resources_pb2.SettingValue:
    value = before.destinations[destination].settings[name].value
    assert value is not None, "only a plain value is encrypted by a deployment"
    return value


def _plaintext(value: resources_pb2.SettingValue) -> bytes:
    return value.SerializeToString(deterministic=True)
