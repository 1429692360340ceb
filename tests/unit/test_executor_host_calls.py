"""Whom functions call, as it is reported with their outcomes: by host, and once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from kit.clock import FakeClock
from onward.executor.v1 import outcomes_pb2 as pb
from services.executor.domain.errors import DELIVERED
from services.executor.handlers.batch_attempts import BatchAttempts
from services.executor.handlers.egress import Exchange
from services.executor.handlers.host_calls import HostCall, host_calls
from services.executor.handlers.settle import HOSTS_MAX, OutcomeLog
from services.executor.handlers.work import Batch, Item, Run
from services.executor.runtime.egress import EgressError, system_error, type_error
from services.executor.runtime.pool import Outcome
from services.executor.runtime.redaction import REDACTED, Redactor
from tests.integration.telemetry_probe import SAMPLED, exchange, item
from tests.unit.lane_given import PROGRAM

NOBODY = Redactor([])
RUN = Run(3, 7)


def with_exchanges(*exchanges: Exchange) -> Item:
    return item(SAMPLED, *exchanges)


def log() -> OutcomeLog:
    return OutcomeLog(cast(Any, None), cast(Any, None), FakeClock())


def reported(outcomes: OutcomeLog) -> list[pb.DestinationOutcomes]:
    (batch,) = outcomes._open.values()
    return list(batch.message.destinations)


def test_a_request_is_a_call_of_its_host_with_what_came_back() -> None:
    sent = exchange("https://user:key@API.example:8443/path?q=1", status=503)
    sent.duration_ms, sent.request_bytes, sent.response_bytes = 12.5, 100, 2000
    calls = host_calls(with_exchanges(sent), NOBODY)
    assert calls == [HostCall("api.example", 503, False, 12_500, 100, 2000)]


def test_what_has_called_nobody_is_no_call() -> None:
    denied = exchange("http://10.0.0.1/", error=EgressError("EGRESS_DENIED", "system", "no"))
    unmade = exchange("https://api.example/", error=type_error("ERR_INVALID_CHAR", "a header"))
    nonsense = exchange("nonsense", error=type_error("ERR_INVALID_URL", "no"))
    assert host_calls(with_exchanges(denied, unmade, nonsense), NOBODY) == []


def test_a_host_that_is_made_of_a_secret_is_masked_in_any_case() -> None:
    secret = "Tenant-4711-Key"
    calls = host_calls(with_exchanges(exchange(f"https://{secret}.example/", status=200)), Redactor([secret]))
    assert calls[0].host == f"{REDACTED}.example"


def test_calls_are_added_up_by_host_with_the_attempts_of_their_batch() -> None:
    outcomes = log()
    calls = [
        HostCall("a.example", 200, False, 10, 1, 2),
        HostCall("a.example", 404, False, 20, 3, 4),
        HostCall("a.example", 0, True, 30, 5, 0),
        HostCall("a.example", 0, False, 40, 7, 0),
        HostCall("b.example", 200, False, 2**40, 0, 0),
    ]
    one = with_exchanges()
    outcomes.record(one, DELIVERED, RUN, calls=calls[:3])
    outcomes.record(one, DELIVERED, replace(RUN, version=4), calls=calls[3:])
    first, second = reported(outcomes)
    (a,) = first.hosts
    assert (a.host, a.calls, a.http_errors, a.network_errors, a.unanswered) == ("a.example", 4, 1, 1, 1)
    assert (a.request_bytes, a.response_bytes, list(a.latencies_us)) == (16, 6, [10, 20])
    assert [(b.host, list(b.latencies_us)) for b in second.hosts] == [("b.example", [3_600_000_000])]


def test_hosts_that_code_makes_up_are_one_more() -> None:
    outcomes = log()
    for number in range(HOSTS_MAX + 9):
        outcomes.record(with_exchanges(), DELIVERED, RUN, calls=[HostCall(f"h{number}.example", 200, False, 1, 0, 0)])
    (group,) = reported(outcomes)
    assert [(one.host, one.calls) for one in group.hosts][-2:] == [(f"h{HOSTS_MAX - 1}.example", 1), ("other", 9)]


def test_what_a_batch_of_events_called_counts_once() -> None:
    outcomes = log()
    batch = Batch([with_exchanges() for _ in range(3)])
    batch.exchanges.append(exchange("https://api.example/", status=200))
    BatchAttempts("crm", outcomes, FakeClock()).settle(PROGRAM, batch, Outcome(1, True, 9, 9, [], None, None))
    (group,) = reported(outcomes)
    assert len(group.attempts) == 3
    assert [(one.host, one.calls) for one in group.hosts] == [("api.example", 1)]


def test_requests_that_failed_on_the_network_are_told_apart_from_those_that_nobody_waited_for() -> None:
    failed = exchange("https://a.example/", error=system_error("ECONNREFUSED", "no"))
    forsaken = exchange("https://a.example/")
    assert [(one.status, one.failed) for one in host_calls(with_exchanges(failed, forsaken), NOBODY)] == [
        (0, True), (0, False),
    ]  # fmt: skip
