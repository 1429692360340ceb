"""What a delivery policy may say, and what the operator allows."""

from __future__ import annotations

from typing import Any

import pytest

from onward.registry.v1 import destination_service_pb2 as dpb
from onward.registry.v1 import facts_pb2 as f
from onward.registry.v1 import operator_service_pb2 as opb
from onward.registry.v1.resources_pb2 import DeliveryPolicy, RetrySchedule
from services.registry.domain import destinations, workspaces
from tests.unit.registry_given import Decide, Given

given = Given
WORKSPACE = f.WorkspaceCreated(workspace="acme", display_name="Acme", functions_max=10)
CONNECTED = (
    WORKSPACE,
    f.SourceCreated(source="web"),
    f.FunctionCreated(function="crm", display_name="CRM"),
    f.DestinationConnected(destination="eu", display_name="EU", function="crm", source="web", version=1),
)


def policy(**fields: Any) -> DeliveryPolicy:
    return DeliveryPolicy(**fields)


def retries(*offsets_s: int) -> DeliveryPolicy:
    return DeliveryPolicy(retries=RetrySchedule(offsets_s=offsets_s))


def update(wanted: DeliveryPolicy) -> Decide:
    request = dpb.UpdateDeliveryPolicyRequest(policy=wanted)
    return lambda state: destinations.decide_update_policy(state, request, "acme", "eu")


def updated(wanted: DeliveryPolicy) -> f.DeliveryPolicyUpdated:
    return f.DeliveryPolicyUpdated(destination="eu", policy=wanted)


def set_limits(**fields: Any) -> Decide:
    return lambda state: workspaces.decide_set_limits(state, opb.SetLimitsRequest(functions_max=10, **fields))


@pytest.mark.parametrize(
    "wanted",
    [
        retries(),
        retries(1),
        retries(10, 40, 86_400),
        policy(max_per_second=0.01, max_in_flight=1, success_sample_rate=0, breaker_disabled=True),
    ],
)
def test_a_policy_within_the_limits_is_taken(wanted: DeliveryPolicy) -> None:
    given(*CONNECTED).when(update(wanted)).then(updated(wanted))


def test_no_retries_at_all_is_another_policy_than_none_named() -> None:
    given(*CONNECTED, updated(retries())).when(update(policy())).then(updated(policy()))


@pytest.mark.parametrize("wanted", [retries(40, 10), retries(10, 10), policy(max_per_second=0.001)])
def test_a_policy_that_makes_no_sense_is_refused(wanted: DeliveryPolicy) -> None:
    given(*CONNECTED).when(update(wanted)).refused("INVALID_ARGUMENT", "INVALID_FIELD")


@pytest.mark.parametrize(
    ("wanted", "metadata"),
    [
        (retries(*range(1, 22)), {"limit": "retries_max", "max": "20"}),
        (retries(86_401), {"limit": "retry_horizon_max_s", "max": "86400"}),
    ],
)
def test_a_policy_beyond_the_operators_limits_is_refused(wanted: DeliveryPolicy, metadata: dict[str, str]) -> None:
    error = given(*CONNECTED).when(update(wanted)).refused("RESOURCE_EXHAUSTED", "LIMIT_REACHED")
    assert error.metadata == metadata


def test_the_operator_sets_how_often_and_for_how_long_policies_may_retry() -> None:
    fact = f.LimitsSet(functions_max=10, retries_max=30, retry_horizon_max_s=604_800)
    given(WORKSPACE).when(set_limits(retries_max=30, retry_horizon_max_s=604_800)).then(fact)
    given(*CONNECTED, fact).when(update(retries(*range(1, 30), 604_800))).then(updated(retries(*range(1, 30), 604_800)))
    given(WORKSPACE, fact).when(set_limits(retries_max=30)).then()
    given(WORKSPACE, fact).when(set_limits()).then()
    given(WORKSPACE).when(set_limits(retries_max=20, retry_horizon_max_s=86_400)).then()


def test_a_limit_that_is_not_named_stays() -> None:
    none = f.LimitsSet(functions_max=10, retries_max=0)
    given(WORKSPACE, none).when(set_limits(retry_horizon_max_s=60)).then(
        f.LimitsSet(functions_max=10, retry_horizon_max_s=60)
    )
    state = given(WORKSPACE, none, f.LimitsSet(functions_max=10, retry_horizon_max_s=60)).state
    assert (workspaces.retries_max(state), workspaces.retry_horizon_max_s(state)) == (0, 60)


def test_a_schedule_from_before_a_lower_limit_stays_while_others_change() -> None:
    before = (*CONNECTED, updated(retries(10, 20)), f.LimitsSet(functions_max=10, retries_max=1))
    wanted = retries(10, 20)
    wanted.max_in_flight = 5
    given(*before).when(update(wanted)).then(updated(wanted))
    given(*before).when(update(retries(10, 21))).refused("RESOURCE_EXHAUSTED", "LIMIT_REACHED")
