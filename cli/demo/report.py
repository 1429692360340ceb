"""What the demo found, and how it is shown."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cli.delivery_text import error_word
from cli.demo.expectations import Counts
from cli.output import Cell, last_part, milliseconds, print_table, shortened
from onward.delivery.v1 import delivery_service_pb2 as pb

MESSAGE_CHARACTERS_MAX = 200
# What the executor says where a function has no handler for a type of event.
NO_HANDLER = re.compile(r"on\w+ is not defined")


@dataclass(frozen=True, slots=True)
class Found:
    """The numbers of one destination."""

    counts: Counts
    pending: int
    latency_ms_p50: float
    latency_ms_p95: float

    @property
    def ended(self) -> int:
        return self.counts.total


def read_summary(summary: pb.GetSummaryResponse) -> dict[str, Found]:
    """Give the numbers by destination."""
    return {last_part(one.destination): _found(one) for one in summary.destinations}


def _found(one: pb.DestinationSummary) -> Found:
    failed = Counter({_error_key(name): count for name, count in one.failed_by_error.items()})
    rejected, unsupported = failed.pop("message_rejected", 0), failed.pop("unsupported_event_type", 0)
    bad_request = failed.pop("bad_request", 0)
    other = failed.total() + one.filtered + one.skipped
    counts = Counts(one.delivered, one.delivered_after_retry, rejected, unsupported, bad_request, other)
    return Found(counts, one.pending, one.latency_ms_p50, one.latency_ms_p95)


def _error_key(name: str) -> str:
    return name.removeprefix("ERROR_TYPE_").lower().replace(" ", "_").replace("-", "_")


COLUMNS = ("destination", ">delivered", ">retried", ">rejected", ">unsupported", ">refused", ">p50", ">p95")


def print_results(found: Mapping[str, Found]) -> None:
    print_table(COLUMNS, [_row(name, one) for name, one in found.items()], title="What became of the events")


def _row(name: str, one: Found) -> tuple[Cell, ...]:
    counts = one.counts
    numbers = (counts.delivered, counts.after_retry, counts.rejected, counts.unsupported, counts.bad_request)
    latency = (milliseconds(one.latency_ms_p50), milliseconds(one.latency_ms_p95))
    return (name, *(f"{number:,}" for number in numbers), *latency)


def print_failures(failed: Iterable[pb.Delivery]) -> None:
    """Print why deliveries failed, counted by reason."""
    rows = [
        (count, destination, word, shortened(message, MESSAGE_CHARACTERS_MAX))
        for (destination, word, message), count in sorted(
            failure_reasons(failed).items(), key=lambda item: (item[0][0], -item[1])
        )
    ]
    columns = (">count", "destination", "reason", "~what the function said")
    print_table(columns, rows, title="Why some were not delivered")


def failure_reasons(failed: Iterable[pb.Delivery]) -> Counter[tuple[str, str, str]]:
    """Count failures by destination, error type and message."""
    reasons: Counter[tuple[str, str, str]] = Counter()
    without_handler: dict[tuple[str, str], list[str]] = {}
    for one in failed:
        key = (last_part(one.destination), error_word(one.error_type))
        if NO_HANDLER.fullmatch(one.error_message):
            without_handler.setdefault(key, []).append(one.error_message)
        else:
            reasons[*key, _shape(one.error_message)] += 1
    for key, messages in without_handler.items():
        reasons[*key, ", ".join(sorted(set(messages)))] += len(messages)
    return reasons


def _shape(message: str) -> str:
    """Count messages together that differ in the event's name alone."""
    for words in ("is not among the events to tell about", "triggers no survey"):
        if message.endswith(words):
            return f"… {words}"
    return message
