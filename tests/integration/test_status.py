"""Services that run, asked how they are: real values, and what is wrong is told with what to do."""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from kit.auth.caller import Caller
from kit.auth.demand import Demand
from kit.embedded.nats import EmbeddedNats
from kit.embedded.postgres import EmbeddedPostgres
from kit.rpc.client import open_channel
from kit.status.check import FAILURE, OK, WARNING, Check
from kit.testing.eventually import eventually
from onward.common.v1 import status_service_pb2 as pb
from onward.common.v1.status_service_pb2_grpc import StatusServiceStub
from onward.executor.v1 import outcomes_pb2
from onward.registry.v1 import facts_pb2
from onward.registry.v1 import internal_service_pb2 as registry_pb
from onward.registry.v1 import workspace_service_pb2 as wpb
from services.executor.runtime.v8 import V8_VERSION
from tests.integration import audit_world, delivery_world, registry_world
from tests.integration.executor_world import FakeRegistry, Program, executor_world
from tests.integration.registry_world import OPERATOR_TOKEN, refused

pytestmark = pytest.mark.integration


async def ask(address: str, token: str = OPERATOR_TOKEN) -> pb.GetStatusResponse:
    async with open_channel(address, token) as channel:
        answer: pb.GetStatusResponse = await StatusServiceStub(channel).GetStatus(pb.GetStatusRequest())
    return answer


def by_name(answer: pb.GetStatusResponse) -> Mapping[str, Check]:
    return {check.name: check for check in answer.checks}


def levels(found: Mapping[str, Check], *names: str) -> set[int]:
    return {found[name].level for name in names}


def wrong(answer: pb.GetStatusResponse) -> dict[str, str]:
    return {check.name: check.message for check in answer.checks if check.level != OK}


async def test_the_registry_tells_of_itself(database: str, nats_url: str, nats_server: EmbeddedNats) -> None:
    began = datetime.now(UTC)
    async with registry_world.running(
        database, nats_url, durability="strict", nats_monitoring_url=nats_server.monitor_url
    ) as world:
        await world.workspace("acme")
        answer = await ask(world.app.address)
    assert answer.service == "registry"
    assert began <= answer.start_time.ToDatetime(UTC) <= answer.current_time.ToDatetime(UTC) <= datetime.now(UTC)
    found = by_name(answer)
    assert wrong(answer) == {"door": "closed: write keys and readers' tokens are of no use at NATS"}
    assert found["durability"].message == "strict: NATS syncs before it acknowledges"
    assert found["nats"].message.startswith("nats-server 2.")
    assert found["postgres"].message.startswith("Postgres 18.")
    assert found["relay"].message.startswith("up to date")
    assert found["keys"].message == "the current key of the operator's wraps 1 data key"
    assert {"python", "tls", "telemetry", "database", "clock"} <= set(found)


async def test_a_server_less_durable_than_promised_is_told(database: str, nats_url: str) -> None:
    """B1"""
    async with registry_world.running(database, nats_url) as world:
        check = by_name(await ask(world.app.address))["durability"]
    assert check.level == WARNING
    assert "ONWARD_NATS_MONITORING_URL" in check.advice


async def test_only_the_operator_is_told(database: str, nats_url: str) -> None:
    async with registry_world.running(database, nats_url) as world:
        owner = await world.workspace("acme")
        async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
            await StatusServiceStub(owner.channel).GetStatus(pb.GetStatusRequest())
        async with refused("UNAUTHENTICATED", "INVALID_TOKEN"):
            await ask(world.app.address, "guessed")


async def test_what_the_relay_can_not_publish_is_told(database: str, nats_url: str) -> None:
    async with registry_world.running(database, nats_url) as world:
        await world.workspace("acme")
        await world.rows("UPDATE relay_positions SET position = 0 WHERE workspace = 'acme'")
        # The relay publishes it again, and the next look finds it up to date.
        await eventually_right(world.app.address, "relay")
        await world.rows("UPDATE workspace_heads SET position = position + 7 WHERE workspace = 'acme'")
        check = by_name(await ask(world.app.address))["relay"]
    assert (check.level, check.message) == (WARNING, "the workspace acme is 7 facts behind")


async def test_data_keys_of_an_older_key_are_told(database: str, nats_url: str) -> None:
    async with registry_world.running(database, nats_url) as world:
        await world.workspace("acme")
    newer = base64.b64encode(b"n" * 32).decode()
    async with registry_world.running(
        database, nats_url, key_encryption_key=newer, previous_key_encryption_keys=registry_world.KEY
    ) as world:
        check = by_name(await ask(world.app.address))["keys"]
    assert check.level == WARNING
    assert check.message == "an older key of the operator's wraps 1 data key"
    assert "onward keys rotate" in check.advice


async def test_an_identity_provider_that_is_away_is_told(database: str, nats_url: str) -> None:
    away: dict[str, Any] = {"oidc_issuer": "http://127.0.0.1:1", "oidc_audience": "onward"}
    async with registry_world.running(database, nats_url, **away) as world:
        check = by_name(await ask(world.app.address))["oidc"]
    assert check.level == FAILURE
    assert "http://127.0.0.1:1 can't be reached" in check.message
    assert "ONWARD_OIDC_ISSUER" in check.advice


@pytest.fixture
async def another_database(postgres_server: EmbeddedPostgres) -> AsyncIterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    await postgres_server.create_database(name)
    try:
        yield postgres_server.dsn(name)
    finally:
        await postgres_server.drop_database(name)


async def test_audit_compares_its_trail_with_the_log_and_asks_the_registry_who_the_operator_is(
    database: str, another_database: str, nats_url: str
) -> None:
    async with (
        registry_world.running(database, nats_url) as registry,
        audit_world.running(another_database, nats_url, registry.app.address) as audit,
    ):
        request = wpb.CreateWorkspaceRequest(workspace_id="acme", display_name="Acme")
        owner_token = (await registry.operator.workspaces.CreateWorkspace(request)).owner_token
        await audit.recorded(4)
        found = by_name(await ask(audit.app.address))
        assert levels(found, "trail", "facts", "postgres", "clock") == {OK}
        async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
            await ask(audit.app.address, owner_token)
        await audit.rows("UPDATE consumer_positions SET position = position + 5 WHERE workspace = 'acme'")
        found = by_name(await ask(audit.app.address))
        assert (found["log"].level, found["log"].message) == (FAILURE, "the log of registry lacks 5 facts of acme")
        await registry.rows("UPDATE workspace_heads SET position = position + 8 WHERE workspace = 'acme'")
        found = by_name(await ask(audit.app.address))
    assert (found["trail"].level, found["trail"].message) == (WARNING, "the workspace acme is 3 facts behind")


async def test_the_tracker_tells_of_retries_that_are_late_and_of_a_clock_that_is_wrong(
    database: str, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A23"""
    monkeypatch.setattr(delivery_world.StillAuthorizer, "authorize", _anybody)
    async with delivery_world.running(database, nats_url) as world:
        assert world.app is not None
        found = by_name(await ask(world.app.address))
        assert levels(found, "outcomes", "due", "retries", "refused", "storage") == {OK}
        assert found["storage"].message.endswith("no attempt is kept")
        # Of this destination no more than 64 are out at once, and their outcomes never come.
        world.acknowledging = False
        # By a fault of ours: others would open its breaker, and what that holds back is not late.
        fault = {"result": outcomes_pb2.RESULT_RETRYABLE, "error_type": outcomes_pb2.ERROR_TYPE_INTERNAL}
        retried = [delivery_world.attempt(n, **fault) for n in range(1, 71)]
        await world.report(delivery_world.batch(*retried))
        world.advance(600)
        await eventually(lambda: len(world.due) == 64)
        await world.rows(
            "INSERT INTO dead_outcomes (batch_id, workspace, data, reason, recorded_at_us)"
            " VALUES ('b', 'acme', '', '', 0)"
        )
        found = by_name(await ask(world.app.address))
    assert found["retries"].level == WARNING
    assert found["retries"].message.startswith("acme/crm is ")
    assert re.fullmatch(
        r"(\w+ [\d.]+ [kMG]B, ){3}\w+ [\d.]+ [kMG]B; attempts since 2026-03-01", found["storage"].message
    )
    assert found["due"].message == "64 messages waiting"
    assert (found["refused"].level, found["refused"].message[:2]) == (WARNING, "1 ")
    # The tracker's clock stands in March.
    assert found["clock"].level == FAILURE
    assert "the clock of Postgres is" in found["clock"].message
    assert "NTP" in found["clock"].advice


async def test_an_executor_tells_of_its_sandbox_its_view_and_what_waits(
    nats_server: EmbeddedNats, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def authorize(self: object, request: object, context: object) -> registry_pb.AuthorizeResponse:
        return registry_pb.AuthorizeResponse(principal="operator", lease_ms=1000)

    monkeypatch.setattr(FakeRegistry, "Authorize", authorize)
    async with executor_world(nats_url, nats_server.monitor_url) as world:
        assert world.app is not None
        address = world.app._server.address
        await eventually_right(address, "events")
        found = by_name(await ask(address))
        assert found["v8"].message == V8_VERSION
        assert found["workers"].message == "0 of 1,000 are warm"
        assert found["view"].level == OK
        assert found["durability"].level == OK
        assert found["events"].message == "0 messages waiting"
        assert bool(world.app._zygote.degradations) == (found["sandbox"].level == WARNING)
        await world.registry.connect("crm", Program("function onTrack() { return 1 }"))
        await world.publish({"type": "track", "event": "x", "userId": "u"})
        await world.attempts("crm")
        found = by_name(await ask(address))
        assert found["workers"].message == "1 of 1,000 are warm"
        # On the log, and not on the bus: until the next comparison the executor does not know.
        await world.registry.record("sources/app", facts_pb2.SourceCreated(source="app"), publish=False)
        check = by_name(await ask(address))["view"]
    assert check.level == WARNING
    assert check.message.endswith("is 1 fact behind")


async def _anybody(self: object, token: str, demand: Demand) -> Caller:
    return Caller("operator", "", frozenset({demand.permission}))


async def eventually_right(address: str, name: str) -> None:
    async def right() -> bool:
        check = by_name(await ask(address)).get(name)
        return check is not None and check.level == OK

    await eventually(right)
