"""A running registry with a running audit service: what is done or refused in one is read in the other."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from kit.embedded.postgres import EmbeddedPostgres
from kit.rpc.client import open_channel
from kit.testing.eventually import eventually
from onward.audit.v1 import audit_service_pb2 as pb
from onward.audit.v1 import audit_service_pb2_grpc
from tests.integration import audit_world, registry_world


class Trail:
    """Both services, and their readers."""

    def __init__(self, registry: registry_world.World, audit: audit_world.World) -> None:
        self.registry = registry
        self.audit = audit

    async def read(self, token: str, workspace: str = "acme", **wanted: Any) -> list[pb.AuditEvent]:
        """All events of a workspace that are wanted, oldest first, as the token's holder sees them."""
        async with open_channel(self.audit.app.address, token) as channel:
            stub: audit_service_pb2_grpc.AuditServiceAsyncStub = audit_service_pb2_grpc.AuditServiceStub(channel)
            parent = f"workspaces/{workspace}"
            answer = await stub.ListAuditEvents(pb.ListAuditEventsRequest(parent=parent, page_size=1000, **wanted))
            return list(reversed(answer.audit_events))

    async def denied(
        self, token: str, workspace: str = "acme", when: Callable[[list[pb.AuditEvent]], bool] = bool
    ) -> list[pb.AuditEvent]:
        """Refusals of a workspace, once they are as wanted; some at least."""

        async def found() -> list[pb.AuditEvent]:
            events = await self.read(token, workspace, outcome=pb.OUTCOME_DENIED)
            return events if when(events) else []

        return await eventually(found)


def fields(event: pb.AuditEvent) -> dict[str, str]:
    """The values after, as they are shown."""
    return {change.field: change.after.strip('"') for change in event.changes}


@asynccontextmanager
async def running(
    database: str, postgres_server: EmbeddedPostgres, nats_url: str, **changes: Any
) -> AsyncIterator[Trail]:
    """Both from start to stop; `database` is the audit service's, `changes` are to the registry's settings."""
    name = f"test_{uuid.uuid4().hex}"
    await postgres_server.create_database(name, template="template0")
    try:
        async with (
            registry_world.running(postgres_server.dsn(name), nats_url, **changes) as registry,
            audit_world.running(database, nats_url, registry.app.address) as audit,
        ):
            yield Trail(registry, audit)
    finally:
        await postgres_server.drop_database(name)
