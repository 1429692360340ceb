"""Delivery policies over real gRPC and Postgres, within what the operator allows."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from onward.registry.v1 import destination_service_pb2 as dpb
from onward.registry.v1 import operator_service_pb2 as opb
from onward.registry.v1 import resources_pb2
from onward.registry.v1 import workspace_service_pb2 as wpb
from services.registry.domain.workspaces import RETRIES_MAX_DEFAULT, RETRY_HORIZON_MAX_DEFAULT_S
from tests.integration.registry_world import World, a_function, a_source, connect, refused, running

pytestmark = pytest.mark.integration

CRM_EU = "workspaces/acme/destinations/crm-eu"


@pytest.fixture
async def world(database: str, nats_url: str) -> AsyncIterator[World]:
    async with running(database, nats_url) as world:
        yield world


async def test_the_operator_sets_how_long_policies_may_retry(world: World) -> None:
    owner = await world.workspace()
    await a_function(owner, [])
    await a_source(owner)
    await connect(owner)
    shown = (await owner.workspaces.GetWorkspace(wpb.GetWorkspaceRequest(name="workspaces/acme"))).workspace
    # What decisions hold to where nobody has set anything.
    assert (shown.retries_max, shown.retry_horizon_max_s) == (RETRIES_MAX_DEFAULT, RETRY_HORIZON_MAX_DEFAULT_S)

    def retries(*offsets_s: int) -> dpb.UpdateDeliveryPolicyRequest:
        schedule = resources_pb2.RetrySchedule(offsets_s=offsets_s)
        return dpb.UpdateDeliveryPolicyRequest(name=CRM_EU, policy=resources_pb2.DeliveryPolicy(retries=schedule))

    limits = opb.SetLimitsRequest(name="workspaces/acme", functions_max=10, retries_max=2)
    answered = (await world.operator.operator.SetLimits(limits)).workspace
    assert (answered.retries_max, answered.retry_horizon_max_s) == (2, RETRY_HORIZON_MAX_DEFAULT_S)
    updated = await owner.destinations.UpdateDeliveryPolicy(retries(10, 86_400))
    assert list(updated.destination.policy.retries.offsets_s) == [10, 86_400]
    for refused_ in (retries(1, 2, 3), retries(86_401)):
        async with refused("RESOURCE_EXHAUSTED", "LIMIT_REACHED"):
            await owner.destinations.UpdateDeliveryPolicy(refused_)
    negative = resources_pb2.DeliveryPolicy(max_per_second=-1)
    for nonsense in (negative, resources_pb2.DeliveryPolicy(success_sample_rate=float("nan"))):
        async with refused("INVALID_ARGUMENT", "INVALID_FIELD"):
            await owner.destinations.UpdateDeliveryPolicy(dpb.UpdateDeliveryPolicyRequest(name=CRM_EU, policy=nonsense))
