"""A tracker that tells of alerts, and an executor that notes what it is to send."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc.aio

from kit.ids import uuid7
from kit.testing.eventually import eventually
from onward.delivery.v1 import alerts_pb2 as pb
from onward.executor.v1 import execution_service_pb2 as executor_pb
from onward.executor.v1 import execution_service_pb2_grpc as executor_rpc
from tests.integration.delivery_world import World, running

ACME = "workspaces/acme"
KEY = base64.b64encode(b"w" * 32).decode()
URL = "https://hooks.example.com/onward?token=t0ken-of-the-receiver"


@dataclass
class FakeExecutor(executor_rpc.ExecutionServiceServicer):
    """Answers SendWebhook as it is told to, and keeps what came."""

    sent: list[executor_pb.SendWebhookRequest] = field(default_factory=list)
    # The status for each URL; 0 for no answer, which takes as long as the test likes.
    status_of: Callable[[str], int] = lambda _: 204
    hanging: asyncio.Event = field(default_factory=asyncio.Event)
    at_once: int = 0
    most_at_once: dict[str, int] = field(default_factory=dict)

    async def SendWebhook(
        self, request: executor_pb.SendWebhookRequest, context: Any
    ) -> executor_pb.SendWebhookResponse:
        self.sent.append(request)
        now = self._under_way(request.url, 1)
        self.most_at_once[request.url] = max(self.most_at_once.get(request.url, 0), now)
        try:
            status = self.status_of(request.url)
            if not status:
                await self.hanging.wait()
            return executor_pb.SendWebhookResponse(status=status, error="" if status else "ETIMEDOUT")
        finally:
            self._under_way(request.url, -1)

    _running: dict[str, int] = field(default_factory=dict)

    def _under_way(self, url: str, change: int) -> int:
        self._running[url] = self._running.get(url, 0) + change
        return self._running[url]

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(one.body) for one in self.sent]


@asynccontextmanager
async def fake_executor() -> AsyncIterator[tuple[FakeExecutor, str]]:
    """It, and its address."""
    executor = FakeExecutor()  # type: ignore[abstract]  # the tracker calls nothing else
    server = grpc.aio.server()
    executor_rpc.add_ExecutionServiceServicer_to_server(executor, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield executor, f"127.0.0.1:{port}"
    finally:
        executor.hanging.set()
        await server.stop(None)


@asynccontextmanager
async def alerting(database: str, nats_url: str, **changes: Any) -> AsyncIterator[tuple[World, FakeExecutor]]:
    """A tracker whose webhooks go to a fake executor."""
    async with fake_executor() as (executor, address):
        values = {"webhook_signing_key": KEY, "executor_address": address, **changes}
        async with running(database, nats_url, **values) as world:
            yield world, executor


async def subscribe(
    world: World, *kinds: pb.AlertKind.ValueType, viewer: Any = None, url: str = URL, **fields: Any
) -> pb.CreateSubscriptionResponse:
    """Subscribe; windows are of five minutes unless thresholds say otherwise."""
    thresholds = {"window_minutes": 5, **fields.pop("thresholds", {})}
    wanted = pb.Subscription(url=url, kinds=kinds, thresholds=pb.AlertThresholds(**thresholds), **fields)
    request = pb.CreateSubscriptionRequest(parent=ACME, subscription=wanted, request_id=uuid7())
    answer = await (viewer or world.viewer).CreateSubscription(request)
    assert isinstance(answer, pb.CreateSubscriptionResponse)
    return answer


async def subscriptions(world: World, viewer: Any = None) -> list[pb.Subscription]:
    answer = await (viewer or world.viewer).ListSubscriptions(pb.ListSubscriptionsRequest(parent=ACME))
    return list(answer.subscriptions)


async def all_announced(world: World) -> None:
    """Wait until the tracker has looked through its own log, and has nothing left to send now."""

    async def done() -> bool:
        rows = await world.rows(
            "SELECT p.position, h.position AS head FROM alert_positions p JOIN workspace_heads h USING (workspace)"
        )
        return all(row["position"] >= row["head"] for row in rows)

    await eventually(done)


async def all_sent(world: World) -> None:
    await all_announced(world)

    async def done() -> bool:
        return bool(await world.value("SELECT count(*) = 0 FROM webhook_due"))

    await eventually(done)


def is_signed(secret: str, headers: Any, body: bytes) -> bool:
    """Whether a webhook is signed, by the letter of the Standard Webhooks."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = b".".join([headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body])
    expected = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return f"v1,{expected}" in headers["webhook-signature"].split(" ")
