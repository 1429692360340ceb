"""What a delivery policy may say, beyond what the protos check."""

from __future__ import annotations

from itertools import pairwise

from onward.registry.v1 import resources_pb2
from services.registry.domain.state import State
from services.registry.domain.workspaces import retries_max, retry_horizon_max_s
from services.registry.errors import InvalidField, RetriesLimitReached

# Slower, and a backlog of a few thousand events would wait for longer than events are kept.
PER_SECOND_MIN = 0.01


def require_policy(state: State, policy: resources_pb2.DeliveryPolicy, before: resources_pb2.DeliveryPolicy) -> None:
    """Raises InvalidField and RetriesLimitReached; a schedule that is there already is not judged by newer limits."""
    if policy.ordering_key:
        raise InvalidField("policy.ordering_key", "is reserved: leave it empty")
    if 0 < policy.max_per_second < PER_SECOND_MIN:
        raise InvalidField("policy.max_per_second", f"is 0 for no limit, or at least {PER_SECOND_MIN}")
    if policy.HasField("retries") and policy.retries != before.retries:
        _require_schedule(state, list(policy.retries.offsets_s))


def _require_schedule(state: State, offsets_s: list[int]) -> None:
    if any(after <= before for before, after in pairwise(offsets_s)):
        raise InvalidField("policy.retries.offsets_s", "must grow from one to the next")
    most = retries_max(state)
    if len(offsets_s) > most:
        raise RetriesLimitReached("retries_max", most, f"retry {most} times at most")
    most_s = retry_horizon_max_s(state)
    if offsets_s and offsets_s[-1] > most_s:
        raise RetriesLimitReached(
            "retry_horizon_max_s", most_s, f"retry for {most_s} s after the first attempt at most"
        )
