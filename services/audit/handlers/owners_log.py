"""The log of the service that owns facts, believed as far as it fits what is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import structlog

from kit.eventstore import envelope
from kit.eventstore.envelope import OwnedFact
from kit.eventstore.facts import Fact
from kit.eventstore.owner_log import OwnerLog
from kit.postgres.pool import Pool
from kit.postgres.queries import load_queries
from onward.common.v1.facts_pb2 import ReadFactsRequest
from services.audit.domain.continuity import fault_in
from services.audit.errors import UnfitLog

log = structlog.get_logger(__name__)

queries = load_queries(Path(__file__).parent / "owners_log.sql")


class OwnersLog:
    """Reads facts that are missing here, and compares those that come again with what is recorded of them.

    Facts bear no signature, so one that fits in every way is believed. But an owner that has lost or altered its past
    is noticed at the next gap: each read begins with the last fact that is recorded.
    """

    def __init__(self, pool: Pool, owner: OwnerLog) -> None:
        self._pool = pool
        self._owner = owner

    async def read_facts(self, service: str, workspace: str, after_position: int, limit: int) -> Sequence[Fact]:
        """See kit.eventstore.consumer.ReadFacts. Raises UnfitLog."""
        known = min(1, after_position)
        request = ReadFactsRequest(workspace=workspace, after_position=after_position - known, limit=limit + known)
        answered = await self._read(service, request)
        if fault := fault_in(service, workspace, after_position - known + 1, answered):
            raise _unfit(service, workspace, fault)
        facts = [one.fact for one in answered]
        if differing := await self._differing(service, workspace, facts[:known]):
            raise _unfit(service, workspace, f"{differing[0]} is not what was recorded")
        return facts[known:]

    async def compare(self, service: str, workspace: str, facts: Sequence[Fact]) -> None:
        """Log where facts that came again are not those that are recorded: one of the two is not the owner's."""
        for position in await self._differing(service, workspace, facts):
            log.error("fact_differs_from_trail", service=service, workspace=workspace, position=position)

    async def _read(self, service: str, request: ReadFactsRequest) -> Sequence[OwnedFact]:
        try:
            return [envelope.from_stored(one) for one in (await self._owner.read(request)).facts]
        except ValueError as error:
            # Of times that are none.
            raise _unfit(service, request.workspace, str(error)) from error

    async def _differing(self, service: str, workspace: str, facts: Sequence[Fact]) -> list[int]:
        positions = [fact.position for fact in facts]
        rows = await self._pool.fetch(queries.recorded, workspace, service, positions) if positions else []
        recorded = {row["position"]: _of_row(row) for row in rows}
        return [one.position for one in facts if recorded.get(one.position, _of_fact(one)) != _of_fact(one)]


def _of_row(row: asyncpg.Record) -> Mapping[str, Any]:
    return {**row, "fact_id": str(row["fact_id"]), "meta": orjson.loads(row["meta"])}


def _of_fact(fact: Fact) -> Mapping[str, Any]:
    return {
        "position": fact.position,
        "stream": fact.stream,
        "version": fact.version,
        "type": fact.type,
        "data": fact.data,
        "meta": fact.meta.to_json(),
        "fact_id": fact.fact_id,
        "recorded_at": fact.recorded_at,
    }


def _unfit(service: str, workspace: str, fault: str) -> UnfitLog:
    log.error("log_unfit", service=service, workspace=workspace, fault=fault)
    return UnfitLog(f"The log of {service} does not continue {workspace}: {fault}.")
