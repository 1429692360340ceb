"""The NATS server as `onward up` runs it, clients that remember what they were refused, and a registry of keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from nats.aio.client import Client

from kit.bus.connection import Bus, connect
from kit.embedded.data_folder import DataFolder
from kit.embedded.nats import EmbeddedNats
from kit.embedded.nats_users import USER_NAMES, NatsUser, inbox_prefix, service_users
from kit.nats_auth.admission import AUTH_USER, Admission, Presented, Refusal
from kit.nats_auth.callout import CalloutResponder
from kit.testing.eventually import eventually


def embedded(folder: DataFolder, **options: Any) -> EmbeddedNats:
    users = service_users({name: folder.secret(f"nats {name}") for name in USER_NAMES})
    return EmbeddedNats(folder, [*users, NatsUser("test", folder.secret("nats test"))], **options)


@asynccontextmanager
async def running(server: EmbeddedNats) -> AsyncIterator[EmbeddedNats]:
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


class Connection:
    """A client that remembers what the server has refused it, and how often it was connected again or closed."""

    def __init__(self) -> None:
        self.client = Client()
        self.errors: list[str] = []
        self.lost = 0
        self.closed = 0

    async def remember(self, error: Exception) -> None:
        self.errors.append(str(error).lower())

    async def count_loss(self) -> None:
        self.lost += 1

    async def count_close(self) -> None:
        self.closed += 1

    async def is_refused(self, subject: str) -> bool:
        await eventually(lambda: any("permissions violation" in e and subject.lower() in e for e in self.errors))
        return True


@asynccontextmanager
async def connected(server: EmbeddedNats, user: str) -> AsyncIterator[Connection]:
    """A client with the login of one of the server's own users."""
    async with connection_to(server.url(user), inbox_prefix(user), allow_reconnect=False) as connection:
        yield connection


@asynccontextmanager
async def connection_to(url: str, prefix: str, **login: Any) -> AsyncIterator[Connection]:
    connection = Connection()
    await connection.client.connect(
        url,
        inbox_prefix=prefix.encode(),
        error_cb=connection.remember,
        disconnected_cb=connection.count_loss,
        closed_cb=connection.count_close,
        reconnect_time_wait=0,
        **login,
    )
    try:
        yield connection
    finally:
        await connection.client.close()


@dataclass
class Keys:
    """Stands in for the registry: which keys are good, and what was presented."""

    good: dict[str, Admission] = field(default_factory=dict)
    seen: list[Presented] = field(default_factory=list)
    delay_s: float = 0.0
    failure: Exception | None = None

    async def authenticate(self, presented: Presented) -> Admission | Refusal:
        self.seen.append(presented)
        if self.failure is not None:
            raise self.failure
        await asyncio.sleep(self.delay_s)
        return self.good.get(presented.secret) or Refusal("the key is not known")


@asynccontextmanager
async def auth_bus(server: EmbeddedNats) -> AsyncIterator[Bus]:
    bus = await connect(server.url(AUTH_USER), name="test-auth")
    try:
        yield bus
    finally:
        await bus.close()


@asynccontextmanager
async def answering(server: EmbeddedNats, keys: Keys, **options: Any) -> AsyncIterator[Bus]:
    """A responder for the server's questions; the bus that it uses."""
    async with auth_bus(server) as bus:
        responder = CalloutResponder(bus, server.issuer.seed, keys.authenticate, **options)
        await responder.start()
        task = asyncio.create_task(responder.run())
        try:
            yield bus
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
