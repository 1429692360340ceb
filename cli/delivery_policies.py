"""A destination's delivery policy, as options change it and people read it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Annotated

from cyclopts import Group, Parameter

from cli.durations import parse_duration, spelled
from cli.failures import UsageError
from onward.registry.v1 import resources_pb2

# As resources.proto says of a policy without batching.
EVENTS_DEFAULT = 100
EVENTS_MAX = 500
WAIT_MAX_S = 60
# As resources.proto and the registry have it.
PER_SECOND_MIN = 0.01
PER_SECOND_MAX = 100_000.0
IN_FLIGHT_MAX = 100_000
SAMPLED_DEFAULT = 0.01
DEFAULT = "default"
NONE = "none"
_UNITS_S = {"s": 1, "m": 60, "h": 3600}
NO_BATCHES = "each event goes to its single handler, since the code that runs has no onBatch"


_POLICY = Group("The policy", sort_key=5)


def _option(name: str, description: str, negative: str = "") -> Parameter:
    return Parameter(name=name, help=description, group=_POLICY, negative=negative, show_default=False)


@Parameter(name="*")
@dataclass(frozen=True)
class PolicyChange:
    """What is to change; None leaves it as it is."""

    retry_only_explicit: Annotated[
        bool | None,
        _option(
            "--retry-only-explicit",
            "Only what the code throws as RetryError is retried, not network failures and answers of 5xx.",
            "--no-retry-only-explicit",
        ),
    ] = None
    fail_on_http_error: Annotated[
        bool | None,
        _option(
            "--fail-on-http-error",
            "A delivery that saw an answer of 400 or more failed, even if the code returned.",
            "--no-fail-on-http-error",
        ),
    ] = None
    omit_idempotency_key: Annotated[
        bool | None,
        _option(
            "--omit-idempotency-key",
            "Requests carry no Idempotency-Key that the code did not set.",
            "--no-omit-idempotency-key",
        ),
    ] = None
    batches: Annotated[
        bool | None,
        _option(
            "--batches",
            "Give onBatch the events that arrive together, 100 at most, which is the default; --no-batches gives each"
            " event to its single handler.",
            "--no-batches",
        ),
    ] = None
    batch_events: Annotated[
        int | None, _option("--batch-events", "The most events that onBatch is given together, 1 to 500.")
    ] = None
    batch_wait: Annotated[
        str | None, _option("--batch-wait", "How long an event may wait for others to fill a batch: 0s to 60s.")
    ] = None
    retries: Annotated[
        str | None,
        _option(
            "--retries",
            "When a delivery that failed is tried again, after the end of its first attempt: 30s,5m,1h. The last one is"
            ' also the horizon. "none" for no retries, "default" for the installation\'s.',
        ),
    ] = None
    rate: Annotated[
        str | None,
        _option(
            "--rate",
            'The most events that it is given in a second, with retries: 100; or 30/m, 1000/h; "none" for no limit.',
        ),
    ] = None
    in_flight: Annotated[
        int | None, _option("--in-flight", "The most events that it is given at once; 0 for no limit.")
    ] = None
    sample_successes: Annotated[
        str | None,
        _option(
            "--sample-successes",
            'How many of its successes keep their logs, requests and callback return: 0% to 100%; "default" for 1%.',
        ),
    ] = None
    breaker: Annotated[
        bool | None,
        _option(
            "--breaker",
            "Hold deliveries back while nearly all fail, which is the default; --no-breaker lets them go on.",
            "--no-breaker",
        ),
    ] = None

    def __post_init__(self) -> None:
        """Raise UsageError where an option is no good: before anything is asked."""
        if self.batches is not None and (self.batch_events is not None or self.batch_wait is not None):
            raise UsageError("--batches and --no-batches exclude --batch-events and --batch-wait")
        if self.batch_events is not None and not 1 <= self.batch_events <= EVENTS_MAX:
            raise UsageError(f"--batch-events is from 1 to {EVENTS_MAX}")
        if self.batch_wait is not None and parse_duration(self.batch_wait) > WAIT_MAX_S:
            raise UsageError(f"--batch-wait is {WAIT_MAX_S}s at most")
        if self.in_flight is not None and not 0 <= self.in_flight <= IN_FLIGHT_MAX:
            raise UsageError(f"--in-flight is from 0, for no limit, to {IN_FLIGHT_MAX}")
        # Parsed once more by apply: here so that a mistake is told before anything is asked.
        self.apply(resources_pb2.DeliveryPolicy())

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
        self._apply_limits(policy)

    def _apply_limits(self, policy: resources_pb2.DeliveryPolicy) -> None:
        if self.retries is not None:
            policy.ClearField("retries")
            if self.retries != DEFAULT:
                policy.retries.SetInParent()
                policy.retries.offsets_s.extend(_offsets_s(self.retries))
        if self.rate is not None:
            policy.max_per_second = _per_second(self.rate)
        if self.in_flight is not None:
            policy.max_in_flight = self.in_flight
        if self.sample_successes == DEFAULT:
            policy.ClearField("success_sample_rate")
        elif self.sample_successes is not None:
            policy.success_sample_rate = _share(self.sample_successes)
        if self.breaker is not None:
            policy.breaker_disabled = not self.breaker


def _offsets_s(text: str) -> list[int]:
    if text == NONE:
        return []
    offsets_s = [round(parse_duration(one.strip())) for one in text.split(",")]
    if offsets_s[0] < 1 or any(after <= before for before, after in pairwise(offsets_s)):
        raise UsageError("--retries are times after the first attempt, from 1s on, each later than the one before")
    return offsets_s


def _per_second(text: str) -> float:
    """A rate such as 100, 100/s, 30/m or 1000/h; "none" for no limit."""
    if text == NONE:
        return 0.0
    count, _, unit = text.partition("/")
    try:
        rate = float(count) / _UNITS_S[unit or "s"]
    except (ValueError, KeyError):
        raise UsageError("--rate is a number of events a second, such as 100, or 30/m, 1000/h; or none") from None
    # Not a number is neither.
    if not PER_SECOND_MIN <= rate <= PER_SECOND_MAX:
        raise UsageError(f"--rate is from {PER_SECOND_MIN:g} to {PER_SECOND_MAX:g} events a second, or none")
    return rate


def _share(text: str) -> float:
    try:
        share = float(text.removesuffix("%")) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UsageError("--sample-successes is from 0% to 100%, or default")
    return share


NO_CHANGE = PolicyChange()


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
        _retries(policy),
        *_limits(policy),
    )
    return (*lines, "requests carry no Idempotency-Key of ours") if policy.omit_idempotency_key else lines


def _retries(policy: resources_pb2.DeliveryPolicy) -> str:
    if not policy.HasField("retries"):
        return "what may be retried is, as the installation has it"
    offsets_s = policy.retries.offsets_s
    if not offsets_s:
        return "nothing is tried a second time"
    return f"retries are {', '.join(spelled(one) for one in offsets_s)} after the first attempt"


def _limits(policy: resources_pb2.DeliveryPolicy) -> list[str]:
    """What is not as it is without a policy."""
    told = []
    if policy.max_per_second:
        told.append(f"it is given {policy.max_per_second:g} events a second at most")
    if policy.max_in_flight:
        told.append(f"it is given {policy.max_in_flight} events at once at most")
    if policy.HasField("success_sample_rate"):
        told.append(f"{100 * policy.success_sample_rate:g} % of its successes keep their logs and requests")
    if policy.breaker_disabled:
        told.append("no circuit breaker holds its deliveries back")
    return told


def _batching(policy: resources_pb2.DeliveryPolicy) -> str:
    events, wait_ms = policy.batching.max_events or EVENTS_DEFAULT, policy.batching.max_wait_ms
    if events == 1:
        return "each event goes to its single handler"
    if wait_ms:
        return f"onBatch gets {events} events, or what has come after {wait_ms / 1000:g} s"
    return f"onBatch gets the events that arrive together, {events} at most"
