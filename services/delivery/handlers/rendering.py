"""Deliveries that were just recorded, as callers see them."""

from __future__ import annotations

from onward.delivery.v1 import delivery_service_pb2 as pb
from services.delivery.projections.batches import Applied
from services.delivery.projections.rows import ATTEMPT_COLUMNS, DUE_COLUMNS, ERROR_MESSAGE_LENGTH_MAX
from services.delivery.queries import ended_delivery, pending_delivery


def deliveries_of(applied: Applied, workspace: str) -> list[pb.Delivery]:
    """The deliveries of one workspace that a transaction ended or put off."""
    messages = {row[:5]: str(row[8])[:ERROR_MESSAGE_LENGTH_MAX] for row in applied.details if row[0] == workspace}
    ended = [
        ended_delivery({**dict(zip(ATTEMPT_COLUMNS, row, strict=True)), "error_message": messages.get(row[:5], "")})
        for row in applied.attempts
        if row[0] == workspace and row[16]
    ]
    pending = [
        pending_delivery({**dict(zip(DUE_COLUMNS, row, strict=True)), "replay": applied.replays.get(key, 0)})
        for key, row in applied.due.items()
        if key[0] == workspace
    ]
    return ended + pending
