"""What the tracker keeps to of a destination's delivery policy."""

from __future__ import annotations

from dataclasses import dataclass

from onward.registry.v1 import resources_pb2
from services.delivery.domain.schedule import SECOND_US, Schedule

# Why executors leave a delivery to the tracker, which holds it back; terms of the API, see onward.executor.v1.Attempt.
RATE_LIMIT = "rate_limit"
CONCURRENCY_LIMIT = "concurrency_limit"
BREAKER_OPEN = "breaker_open"
HELD_REASONS = frozenset({RATE_LIMIT, CONCURRENCY_LIMIT, BREAKER_OPEN})
# The tracker looks at the registry's log every two seconds.
POLICY_HEARD_WITHIN_US = 5 * SECOND_US


@dataclass(frozen=True, slots=True)
class Policy:
    """Of a destination that has one."""

    # None: as the installation has it.
    schedule: Schedule | None = None
    # 0: no limit.
    max_per_second: float = 0.0
    max_in_flight: int = 0
    breaker_disabled: bool = False

    @classmethod
    def of(cls, policy: resources_pb2.DeliveryPolicy) -> Policy:
        """What a policy of the registry's says of this."""
        offsets_s = tuple(map(float, policy.retries.offsets_s))
        return cls(
            schedule=Schedule(offsets_s) if policy.HasField("retries") else None,
            max_per_second=policy.max_per_second,
            max_in_flight=policy.max_in_flight,
            breaker_disabled=policy.breaker_disabled,
        )

    @property
    def paced(self) -> bool:
        """Whether executors leave all of its events to the tracker, which knows how much of them is out everywhere."""
        return self.max_per_second > 0 or self.max_in_flight > 0


NO_POLICY = Policy()
