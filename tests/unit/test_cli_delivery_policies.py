"""Delivery policies as options change them."""

from __future__ import annotations

from typing import Any

import pytest

from cli.delivery_policies import PolicyChange, policy_lines
from cli.failures import UsageError
from onward.registry.v1.resources_pb2 import Batching, DeliveryPolicy, RetrySchedule


def changed(before: DeliveryPolicy | None = None, **options: Any) -> DeliveryPolicy:
    policy = before or DeliveryPolicy()
    PolicyChange(**options).apply(policy)
    return policy


@pytest.mark.parametrize(
    ("options", "batching", "told"),
    [
        ({"batch_events": 50}, Batching(max_events=50), "that arrive together, 50 at most"),
        (
            {"batch_wait": "10s"},
            Batching(max_events=100, max_wait_ms=10_000),
            "100 events, or what has come",
        ),
        ({"batch_events": 1}, Batching(max_events=1), "single handler"),
        ({"batches": False}, Batching(max_events=1), "single handler"),
        ({"batches": True}, None, "that arrive together, 100 at most"),
    ],
)
def test_options_change_how_events_are_gathered(options: dict[str, Any], batching: Batching | None, told: str) -> None:
    for before in (DeliveryPolicy(), DeliveryPolicy(retry_only_explicit=True)):
        explicit = before.retry_only_explicit
        policy = changed(before, **options)
        assert (policy.batching if policy.HasField("batching") else None) == batching
        assert told in policy_lines(policy)[2]
        assert policy.retry_only_explicit == explicit


def test_a_part_of_how_events_are_gathered_is_changed() -> None:
    before = DeliveryPolicy(batching=Batching(max_events=50, max_wait_ms=500))
    assert changed(before, batch_wait="1s").batching == Batching(max_events=50, max_wait_ms=1000)
    assert changed(before, batch_events=7).batching == Batching(max_events=7, max_wait_ms=1000)
    assert changed(before, batch_wait="0s").batching == Batching(max_events=7)


def test_a_key_may_be_left_out_and_put_back() -> None:
    policy = changed(omit_idempotency_key=True)
    assert policy.omit_idempotency_key
    assert "Idempotency-Key" in policy_lines(policy)[-1]
    assert not changed(policy, omit_idempotency_key=False).omit_idempotency_key


@pytest.mark.parametrize(
    ("options", "policy", "told"),
    [
        (
            {"retries": "30s,5m,1h"},
            DeliveryPolicy(retries=RetrySchedule(offsets_s=[30, 300, 3600])),
            "retries are 30s, 5m, 1h after the first attempt",
        ),
        ({"retries": "none"}, DeliveryPolicy(retries=RetrySchedule()), "nothing is tried a second time"),
        ({"rate": "100"}, DeliveryPolicy(max_per_second=100), "100 events a second at most"),
        ({"rate": "30/m"}, DeliveryPolicy(max_per_second=0.5), "0.5 events a second at most"),
        ({"in_flight": 8}, DeliveryPolicy(max_in_flight=8), "8 events at once at most"),
        ({"sample_successes": "25%"}, DeliveryPolicy(success_sample_rate=0.25), "25 % of its successes"),
        ({"sample_successes": "0"}, DeliveryPolicy(success_sample_rate=0), "0 % of its successes"),
        ({"breaker": False}, DeliveryPolicy(breaker_disabled=True), "no circuit breaker"),
    ],
)
def test_options_change_when_and_how_fast_it_is_delivered(
    options: dict[str, Any], policy: DeliveryPolicy, told: str
) -> None:
    assert changed(**options) == policy
    assert any(told in line for line in policy_lines(policy))
    undone = {"retries": "default", "rate": "none", "in_flight": 0, "sample_successes": "default", "breaker": True}
    assert changed(policy, **{name: undone[name] for name in options}) == DeliveryPolicy()


@pytest.mark.parametrize(
    "options",
    [
        {"retries": "10"},
        {"retries": "1h,10m"},
        {"retries": "0s"},
        {"retries": ""},
        {"rate": "fast"},
        {"rate": "0"},
        {"rate": "nan"},
        {"rate": "10/d"},
        {"rate": "200000"},
        {"in_flight": -1},
        {"sample_successes": "101%"},
        {"sample_successes": "nan"},
        {"batch_events": 0},
        {"batch_events": 501},
        {"batch_wait": "61s"},
        {"batch_wait": "soon"},
        {"batches": True, "batch_events": 5},
        {"batches": False, "batch_wait": "1s"},
    ],
)
def test_options_that_make_no_policy_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        PolicyChange(**options)


def test_code_without_on_batch_is_told() -> None:
    policy = changed(batch_events=10)
    assert "no onBatch" in policy_lines(policy, takes_batches=False)[2]
    assert "10 at most" in policy_lines(policy, takes_batches=True)[2]


@pytest.mark.parametrize(
    ("options", "gathers"),
    [
        ({"batch_events": 10}, True),
        ({"batch_wait": "1s"}, True),
        ({"batches": True}, True),
        ({"batch_events": 1}, False),
        ({"batches": False}, False),
        ({"fail_on_http_error": True}, False),
    ],
)
def test_what_gathers_is_known(options: dict[str, Any], gathers: bool) -> None:
    assert PolicyChange(**options).gathers == gathers


def test_no_option_changes_nothing() -> None:
    assert not PolicyChange().changes
    assert PolicyChange(batches=False).changes
