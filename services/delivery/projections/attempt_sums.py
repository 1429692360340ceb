"""Attempts that ran, by the minute of their end, summed by transaction: what health is judged by."""

from __future__ import annotations

from collections.abc import Sequence

from onward.delivery.v1 import delivery_service_pb2 as delivery_pb
from onward.executor.v1 import outcomes_pb2 as pb
from services.delivery.domain.schedule import MINUTE_US
from services.delivery.projections.rollups import columns
from services.delivery.projections.standing import Group

# Results of attempts in which the handler was called, or could not be by the destination's own fault.
_RAN = frozenset({pb.RESULT_DELIVERED, pb.RESULT_RETRYABLE, pb.RESULT_FAILED})
_FAILED = delivery_pb.DELIVERY_STATE_FAILED

# (workspace, destination, minute, error_type)
Key = tuple[str, str, int, int]


class AttemptSums:
    """The sums of one transaction."""

    __slots__ = ("_sums",)

    def __init__(self) -> None:
        # Values are [attempts, first attempts, http_errors, exhausted deliveries].
        self._sums: dict[Key, list[int]] = {}

    def add_delivered(self, group: Group, attempts: Sequence[pb.Attempt], delivered: int, http_errors: int) -> None:
        """Count those of a group's first attempts that delivered; they are in the order of their end."""
        first, last = attempts[0].ended_at_us // MINUTE_US, attempts[-1].ended_at_us // MINUTE_US
        if first == last:
            self._add(group, first, 0, (delivered, delivered, http_errors, 0))
            return
        for one in attempts:
            if one.result == pb.RESULT_DELIVERED:
                self._add(group, one.ended_at_us // MINUTE_US, 0, (1, 1, one.http_error, 0))

    def add_failed(self, group: Group, one: pb.Attempt, error_type: int) -> None:
        """Count a first attempt that failed for good by itself."""
        self._add(group, one.ended_at_us // MINUTE_US, error_type, (1, 1, 0, 0))

    def add(self, group: Group, one: pb.Attempt, state: int, error_type: int) -> None:
        """Count any attempt; `state` is that in which it left its delivery, 0 where it goes on."""
        ran = one.result in _RAN
        # It could have been tried again, but for what its schedule allows.
        exhausted = state == _FAILED and one.result != pb.RESULT_FAILED
        if ran or exhausted:
            numbers = (ran, ran and one.attempt == 1, ran and one.http_error and not error_type, exhausted)
            self._add(group, one.ended_at_us // MINUTE_US, error_type, numbers)

    def _add(self, group: Group, minute: int, error_type: int, numbers: tuple[int, int, int, int]) -> None:
        sums = self._sums.setdefault((group.workspace, group.header.destination, minute, error_type), [0] * 4)
        for at, number in enumerate(numbers):
            sums[at] += number

    def columns(self) -> list[list[object]]:
        """One array a column, sorted by key so that replicas lock rows in the same order."""
        return columns([(*key, *sums) for key, sums in sorted(self._sums.items())], 8)
