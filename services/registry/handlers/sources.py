"""Commands on sources and their write keys."""

from __future__ import annotations

from collections.abc import Sequence

from kit.auth.tokens import format_write_key, hash_secret
from kit.eventstore.facts import NewFact
from kit.eventstore.store import Times, Unit
from kit.ids import Ids
from kit.postgres.pool import Connection
from onward.registry.v1 import facts_pb2
from onward.registry.v1 import source_service_pb2 as pb
from services.registry import queries
from services.registry.domain import sources as domain
from services.registry.domain.state import State
from services.registry.domain.workspaces import require_workspace
from services.registry.handlers.changes import Change, Changes, by_state
from services.registry.handlers.outright import Outright
from services.registry.queries import sources as source_queries


class SourceHandlers:
    """Commands on sources."""

    def __init__(self, changes: Changes, ids: Ids) -> None:
        self._changes = changes
        self._ids = ids

    async def create(self, request: pb.CreateSourceRequest, workspace: str) -> pb.CreateSourceResponse:
        """A source."""

        async def decide(_unit: Unit, state: State) -> list[NewFact]:
            require_workspace(state, workspace)
            return domain.decide_create_source(state, request, workspace)

        async def answer(connection: Connection, facts: Sequence[NewFact]) -> pb.CreateSourceResponse:
            source = facts[0].stream.removeprefix("sources/")
            return pb.CreateSourceResponse(source=await queries.get_source(connection, workspace, source))

        return await self._changes.make(Change(workspace, request, pb.CreateSourceResponse, decide, answer))

    async def update(self, request: pb.UpdateSourceRequest, workspace: str, source: str) -> pb.UpdateSourceResponse:
        """Another name, other labels."""

        async def decide(state: State) -> list[NewFact]:
            return domain.decide_update_source(state, request, workspace, source)

        async def answer(connection: Connection, _facts: Sequence[NewFact]) -> pb.UpdateSourceResponse:
            return pb.UpdateSourceResponse(source=await queries.get_source(connection, workspace, source))

        async def answer_outright(state: State) -> pb.UpdateSourceResponse:
            return pb.UpdateSourceResponse(source=source_queries.shown(workspace, state.sources[source]))

        outright = Outright(decide, answer_outright, _stamp_source)
        change = Change(workspace, request, pb.UpdateSourceResponse, by_state(decide), answer, outright=outright)
        return await self._changes.make(change)

    async def delete(self, request: pb.DeleteSourceRequest, workspace: str, source: str) -> pb.DeleteSourceResponse:
        """The source's end, with its keys."""

        async def decide(unit: Unit, state: State) -> list[NewFact]:
            facts = domain.decide_delete_source(state, request, workspace, source)
            await unit.connection.execute(source_queries.queries.delete_write_key_secrets, _revoked_by(facts))
            return facts

        async def answer(_connection: Connection, _facts: Sequence[NewFact]) -> pb.DeleteSourceResponse:
            return pb.DeleteSourceResponse()

        return await self._changes.make(Change(workspace, request, pb.DeleteSourceResponse, decide, answer))

    async def create_write_key(
        self, request: pb.CreateWriteKeyRequest, workspace: str, source: str
    ) -> pb.CreateWriteKeyResponse:
        """A key whose secret only the first answer holds."""
        key, secret = self._ids.token_id(), self._ids.token_secret()

        async def decide(unit: Unit, state: State) -> list[NewFact]:
            facts = domain.decide_create_write_key(state, workspace, source, key)
            row = (key, workspace, source, hash_secret(secret))
            await unit.connection.execute(source_queries.queries.insert_write_key_secret, *row)
            return facts

        async def answer(connection: Connection, _facts: Sequence[NewFact]) -> pb.CreateWriteKeyResponse:
            found = await source_queries.get_write_key(connection, workspace, source, key)
            return pb.CreateWriteKeyResponse(write_key=found, secret=format_write_key(key, secret))

        return await self._changes.make(
            Change(workspace, request, pb.CreateWriteKeyResponse, decide, answer, secrets=("secret",))
        )

    async def revoke_write_key(
        self, request: pb.RevokeWriteKeyRequest, workspace: str, source: str, key: str
    ) -> pb.RevokeWriteKeyResponse:
        """The key's end; its connections are closed soon after."""

        async def decide(unit: Unit, state: State) -> list[NewFact]:
            facts = domain.decide_revoke_write_key(state, workspace, source, key)
            await unit.connection.execute(source_queries.queries.delete_write_key_secrets, [key])
            return facts

        async def answer(_connection: Connection, _facts: Sequence[NewFact]) -> pb.RevokeWriteKeyResponse:
            return pb.RevokeWriteKeyResponse()

        return await self._changes.make(Change(workspace, request, pb.RevokeWriteKeyResponse, decide, answer))


def _stamp_source(answer: pb.UpdateSourceResponse, times: Times) -> None:
    if not answer.source.HasField("create_time"):
        answer.source.create_time.FromDatetime(times.created)


def _revoked_by(facts: Sequence[NewFact]) -> list[str]:
    return [fact.data.key for fact in facts if isinstance(fact.data, facts_pb2.WriteKeyRevoked)]
