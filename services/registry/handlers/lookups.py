"""Looking up where a value was set as an encrypted setting, for whoever found it where it should not be."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from kit.clock import Clock
from kit.errors import LimitReached
from kit.eventstore.facts import NewFact, day_stream
from kit.eventstore.store import STREAM_FACTS_MAX, Unit
from kit.eventstore.turns import Turns
from kit.postgres.pool import Connection, Pool
from kit.vault import Keyring
from onward.registry.v1 import facts_pb2, resources_pb2
from onward.registry.v1.workspace_service_pb2 import FindSecretRequest, FindSecretResponse
from services.registry.domain import lookups as domain
from services.registry.domain.state import State
from services.registry.domain.workspaces import require_workspace
from services.registry.handlers.changes import Change, Changes
from services.registry.handlers.sealing import Sealer
from services.registry.queries.lookups import facts_of_settings


class Lookups:
    """Compares values with what facts tell of encrypted ones. Nobody is answered before the lookup is in the log."""

    def __init__(self, changes: Changes, pool: Pool, keyring: Keyring, clock: Clock) -> None:
        self._changes = changes
        self._pool = pool
        self._keyring = keyring
        self._clock = clock
        # Each reads all that a log tells of settings: a workspace has one at a time, so that other calls are served.
        self._turns = Turns()

    async def find_secret(self, request: FindSecretRequest, workspace: str) -> FindSecretResponse:
        """Where the value was set. Raises InvalidField, Unavailable, and LimitReached where a day has too many."""
        domain.require_sought(request.value)
        # Not under the workspace's lock: a long log takes a second.
        async with self._turns.turn(f"the lookups of workspaces/{workspace}"):
            found = await self._search(workspace, request.value)

        async def decide(_unit: Unit, state: State) -> list[NewFact]:
            require_workspace(state, workspace)
            return [NewFact(day_stream("lookups", self._clock), facts_pb2.SecretSought(found=found.found))]

        async def answer(_connection: Connection, _facts: Sequence[NewFact]) -> FindSecretResponse:
            return found

        try:
            return await self._changes.make(Change(workspace, request, FindSecretResponse, decide, answer))
        except LimitReached as error:
            if error.metadata.get("limit") != "stream_facts":
                raise
            raise _too_many(workspace) from error

    async def _search(self, workspace: str, value: resources_pb2.SettingValue) -> FindSecretResponse:
        async with self._pool.acquire() as connection:
            sealer = await Sealer.load(connection, self._keyring, workspace)
        search = domain.Search(workspace, partial(sealer.keyed_hash, value=value))
        if not sealer.unused:
            async for told in facts_of_settings(self._pool, workspace):
                search.add(told.position, told.recorded_at, told.fact)
        return search.response()


def _too_many(workspace: str) -> LimitReached:
    return LimitReached(
        f"{STREAM_FACTS_MAX} values were looked up in workspaces/{workspace} today (UTC); go on tomorrow.",
        metadata={"limit": "lookups_per_day", "max": str(STREAM_FACTS_MAX), "resource": f"workspaces/{workspace}"},
    )
