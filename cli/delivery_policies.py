"""A destination's delivery policy, as options change it and people read it."""

from __future__ import annotations

from dataclasses import dataclass, fields

from cli.durations import parse_duration
from cli.failures import UsageError
from onward.registry.v1 import resources_pb2

# As resources.proto says of a policy without batching.
EVENTS_DEFAULT = 100
EVENTS_MAX = 500
WAIT_MAX_S = 60
NO_BATCHES = "each event goes to its single handler, since the code that runs has no onBatch"


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """What is to change; None leaves it as it is."""

    retry_only_explicit: bool | None = None
    fail_on_http_error: bool | None = None
    omit_idempotency_key: bool | None = None
    # False: each event for itself; True: the default.
    batches: bool | None = None
    batch_events: int | None = None
    batch_wait: str | None = None

    def __post_init__(self) -> None:
        """Raise UsageError where an option is no good: before anything is asked."""
        if self.batches is not None and (self.batch_events is not None or self.batch_wait is not None):
            raise UsageError("--batches and --no-batches exclude --batch-events and --batch-wait")
        if self.batch_events is not None and not 1 <= self.batch_events <= EVENTS_MAX:
            raise UsageError(f"--batch-events is from 1 to {EVENTS_MAX}")
        if self.batch_wait is not None and parse_duration(self.batch_wait) > WAIT_MAX_S:
            raise UsageError(f"--batch-wait is {WAIT_MAX_S}s at most")

    @property
    def changes(self) -> bool:
        """Whether anything is to change."""
        return any(getattr(self, one.name) is not None for one in fields(self))

    @property
    def gathers(self) -> bool:
        """Whether events are to be gathered."""
        return bool(self.batches or self.batch_wait is not None or (self.batch_events or 0) > 1)

    def apply(self, policy: resources_pb2.DeliveryPolicy) -> None:
        """Change a policy in place."""
        for name in ("retry_only_explicit", "fail_on_http_error", "omit_idempotency_key"):
            value = getattr(self, name)
            if value is not None:
                setattr(policy, name, value)
        if self.batches is not None:
            policy.ClearField("batching")
            if not self.batches:
                policy.batching.max_events = 1
        if self.batch_events is not None:
            policy.batching.max_events = self.batch_events
        if self.batch_wait is not None:
            policy.batching.max_events = policy.batching.max_events or EVENTS_DEFAULT
            policy.batching.max_wait_ms = round(parse_duration(self.batch_wait) * 1000)


def policy_lines(policy: resources_pb2.DeliveryPolicy, *, takes_batches: bool | None = None) -> tuple[str, ...]:
    """Tell what is retried, what counts as failed, and how events are gathered.

    `takes_batches` is whether the code that runs has onBatch; None where that is not known.
    """
    failed = "an answer of 400 or more is a failure"
    retried = "only a RetryError is retried"
    lines = (
        retried if policy.retry_only_explicit else "RetryError, network failures and answers of 5xx are retried",
        failed if policy.fail_on_http_error else "what an API answers counts only if the handler throws",
        _batching(policy) if takes_batches is not False else NO_BATCHES,
    )
    return (*lines, "requests carry no Idempotency-Key of ours") if policy.omit_idempotency_key else lines


def _batching(policy: resources_pb2.DeliveryPolicy) -> str:
    events, wait_ms = policy.batching.max_events or EVENTS_DEFAULT, policy.batching.max_wait_ms
    if events == 1:
        return "each event goes to its single handler"
    if wait_ms:
        return f"onBatch gets {events} events, or what has come after {wait_ms / 1000:g} s"
    return f"onBatch gets the events that arrive together, {events} at most"
