"""Delivery policies to rows and back."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import asyncpg

from kit.postgres.pool import Connection
from kit.postgres.queries import load_queries
from onward.registry.v1 import resources_pb2
from services.delivery.domain.policy import NO_POLICY, Policy
from services.delivery.domain.schedule import Schedule
from services.delivery.projections.rollups import columns

queries = load_queries(Path(__file__).parent / "policies.sql")

# (workspace, destination)
Destination = tuple[str, str]


async def read_policies(connection: Connection, destinations: Iterable[Destination]) -> dict[Destination, Policy]:
    """The policies of those that have one."""
    rows = await connection.fetch(queries.policies, *columns([*sorted(destinations)], 2))
    return {(row["workspace"], row["destination"]): _policy(row) for row in rows}


async def store_policy(
    connection: Connection, workspace: str, destination: str, policy: resources_pb2.DeliveryPolicy
) -> Policy:
    """Keep a policy from now on."""
    kept = Policy.of(policy)
    if kept == NO_POLICY:
        await connection.execute(queries.forget_policy, workspace, destination)
        return kept
    offsets_s = list(policy.retries.offsets_s) if policy.HasField("retries") else None
    limits = (kept.max_per_second, kept.max_in_flight, kept.breaker_disabled)
    await connection.execute(queries.store_policy, workspace, destination, offsets_s, *limits)
    return kept


def _policy(row: asyncpg.Record) -> Policy:
    offsets_s = row["retry_offsets_s"]
    return Policy(
        schedule=None if offsets_s is None else Schedule(tuple(map(float, offsets_s))),
        max_per_second=row["max_per_second"],
        max_in_flight=row["max_in_flight"],
        breaker_disabled=row["breaker_disabled"],
    )
