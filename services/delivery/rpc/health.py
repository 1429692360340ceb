"""The calls of DeliveryService about how destinations are, and who is told of it."""

from __future__ import annotations

from typing import Any

from kit.auth.caller import current_caller
from kit.clock import Clock, unix_us
from kit.postgres.pool import Pool
from kit.rpc import names
from onward.delivery.v1 import alerts_pb2, health_pb2
from services.delivery.handlers.subscriptions import Subscriptions
from services.delivery.queries.health import get_health
from services.delivery.rpc.arguments import asked_by


class HealthCalls:
    """See the proto."""

    _pool: Pool
    _clock: Clock
    _subscriptions: Subscriptions

    async def GetHealth(self, request: health_pb2.GetHealthRequest, context: Any) -> health_pb2.GetHealthResponse:
        return await get_health(self._pool, asked_by(current_caller(), request.parent), unix_us(self._clock))

    async def CreateSubscription(
        self, request: alerts_pb2.CreateSubscriptionRequest, context: Any
    ) -> alerts_pb2.CreateSubscriptionResponse:
        return await self._subscriptions.create(request)

    async def ListSubscriptions(
        self, request: alerts_pb2.ListSubscriptionsRequest, context: Any
    ) -> alerts_pb2.ListSubscriptionsResponse:
        (workspace,) = names.WORKSPACE.parse(request.parent, "parent")
        return await self._subscriptions.list(workspace)

    async def DeleteSubscription(
        self, request: alerts_pb2.DeleteSubscriptionRequest, context: Any
    ) -> alerts_pb2.DeleteSubscriptionResponse:
        return await self._subscriptions.delete(request)
