"""The calls of DeliveryService that change what becomes of one delivery."""

from __future__ import annotations

from typing import Any

from onward.delivery.v1 import acts_pb2 as pb
from services.delivery.handlers.interventions import Interventions


class InterventionCalls:
    """See the proto."""

    _interventions: Interventions

    async def RetryDelivery(self, request: pb.RetryDeliveryRequest, context: Any) -> pb.RetryDeliveryResponse:
        return await self._interventions.retry(request)

    async def CancelDelivery(self, request: pb.CancelDeliveryRequest, context: Any) -> pb.CancelDeliveryResponse:
        return await self._interventions.cancel(request)
