"""Where acts came from: asked of the service that keeps it, and compared with what the facts committed to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import orjson
import structlog

from kit.errors import OnwardError
from kit.eventstore.commitments import commitments
from kit.postgres.pool import Pool
from kit.postgres.queries import load_queries
from onward.audit.v1 import audit_service_pb2 as pb
from onward.registry.v1 import internal_service_pb2 as registry_pb

log = structlog.get_logger(__name__)

queries = load_queries(Path(__file__).parent / "clients.sql")

# What a fact's commitments to them are called.
NAMES: Final = ("client_address", "user_agent")
# As many as one ReadClients takes.
POSITIONS_MAX: Final = 1_000

# Clients of a workspace, by the positions of their facts; what is not known is left out. Raises `OnwardError`s.
ReadClients = Callable[[str, Sequence[int]], Awaitable[Mapping[int, registry_pb.Client]]]


class Clients:
    """Fills in where acts came from. The trail does not need it: where nobody can be asked, the answer says so."""

    def __init__(self, pool: Pool, service: str, read: ReadClients) -> None:
        """`read` asks `service`, whose facts alone have clients."""
        self._pool = pool
        self._service = service
        self._read = read

    async def show(self, workspace: str, events: Sequence[pb.AuditEvent]) -> None:
        """Set address, agent and state of events that have commitments to them."""
        rows = await self._pool.fetch(queries.committed, workspace, self._service, [one.index for one in events])
        committed = {row["position"]: told for row in rows if (told := _committed(row["commitments"]))}
        found = await self._found(workspace, list(committed))
        for event in events:
            if event.service == self._service and event.position in committed:
                _show(event, committed[event.position], found)

    async def _found(self, workspace: str, positions: Sequence[int]) -> Mapping[int, registry_pb.Client] | None:
        """None where the service does not answer."""
        found: dict[int, registry_pb.Client] = {}
        try:
            for first in range(0, len(positions), POSITIONS_MAX):
                found |= await self._read(workspace, positions[first : first + POSITIONS_MAX])
        except OnwardError as error:
            log.warning("clients_unavailable", workspace=workspace, error=str(error))
            return None
        return found


def _committed(stored: str) -> Mapping[str, str]:
    return {name: value for name, value in orjson.loads(stored).items() if name in NAMES}


def _show(event: pb.AuditEvent, committed: Mapping[str, str], found: Mapping[int, registry_pb.Client] | None) -> None:
    if found is None:
        event.client_state = pb.CLIENT_STATE_UNAVAILABLE
        return
    client = found.get(event.position)
    if client is None:
        event.client_state = pb.CLIENT_STATE_ERASED
        return
    values = {"client_address": client.client_address, "user_agent": client.user_agent}
    if commitments(client.salt, values) != committed:
        log.error("client_altered", record=event.name)
        event.client_state = pb.CLIENT_STATE_ALTERED
        return
    event.client_state = pb.CLIENT_STATE_KNOWN
    event.client_address, event.user_agent = client.client_address, client.user_agent
