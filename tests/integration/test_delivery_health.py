"""Connection Health: which destinations fail consistently, recorded and asked for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from kit.auth.demand import Subset
from kit.clock import FakeClock
from kit.testing.eventually import eventually
from onward.delivery.v1 import breakers_pb2, health_pb2
from onward.executor.v1 import outcomes_pb2 as pb
from tests.integration.delivery_world import START, START_US, World, batch, running
from tests.integration.health_world import (
    ACME,
    WINDOW_US,
    attempts,
    end_window,
    health_of,
    judged,
    pass_window,
    recorded,
)

pytestmark = pytest.mark.integration

CHANGES = ("DestinationBecameUnhealthy", "DestinationBecameHealthy")


async def test_three_failing_windows_running_make_a_destination_unhealthy_and_two_clean_ones_healthy(
    database: str, nats_url: str
) -> None:
    async with running(database, nats_url) as world:
        await pass_window(world, 0, delivered=20)
        for window in (1, 2):
            await pass_window(world, window, delivered=5, failed=5)
        assert await recorded(world, *CHANGES) == []
        assert (await health_of(world)).state == health_pb2.HEALTH_STATE_HEALTHY
        await pass_window(world, 3, delivered=5, failed=15)
        (unhealthy,) = await recorded(world, *CHANGES)
        assert unhealthy["type"] == "DestinationBecameUnhealthy"
        assert (unhealthy["destination"], unhealthy["source"]) == ("crm", "web")
        assert unhealthy["sinceTime"] == "2026-03-01T12:05:00Z"
        assert unhealthy["endTime"] == "2026-03-01T12:20:00Z"
        assert (int(unhealthy["attempts"]), int(unhealthy["failures"])) == (40, 25)
        assert unhealthy["failureRate"] == 0.625
        assert unhealthy["errorType"] == "ERROR_TYPE_BAD_REQUEST"
        health = await health_of(world)
        assert health.state == health_pb2.HEALTH_STATE_UNHEALTHY
        assert health.since_time.ToDatetime() == (START + timedelta(minutes=5)).replace(tzinfo=None)
        for window in (4, 5):
            await pass_window(world, window, delivered=10, failed=1)
        (_, healthy) = await recorded(world, *CHANGES)
        assert healthy["type"] == "DestinationBecameHealthy"
        assert (healthy["sinceTime"], healthy["unhealthySinceTime"]) == ("2026-03-01T12:20:00Z", "2026-03-01T12:05:00Z")
        assert (await health_of(world)).state == health_pb2.HEALTH_STATE_HEALTHY


async def test_a_fact_shows_what_an_error_looks_like_and_nothing_of_anybody(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as world:
        for window in range(3):
            await pass_window(world, window, failed=10)
        (fact,) = await recorded(world, *CHANGES)
        assert fact["errorMessage"] == "no such user: <email> <number>"
        assert "ada" not in str(fact)
        sample = f"{ACME}/deliveries/{fact['sampleDelivery']}"
        assert (await health_of(world)).sample_delivery == sample


async def test_health_shows_the_last_hour_with_its_worst_error_and_a_delivery_that_failed_so(
    database: str, nats_url: str
) -> None:
    async with running(database, nats_url) as world:
        await pass_window(world, 0, delivered=3)
        await pass_window(world, 1, delivered=4, failed=2)
        await pass_window(world, 2, failed=1, error_type=pb.ERROR_TYPE_TIMEOUT)
        await world.report(batch(*attempts(3, delivered=1)))
        world.advance(120)
        health = await health_of(world)
        assert [(one.attempts, one.failures) for one in health.windows] == [(0, 0)] * 8 + [
            (3, 0), (6, 2), (1, 1), (1, 0),
        ]  # fmt: skip
        assert (health.attempts, health.failures) == (11, 3)
        assert health.failure_rate == pytest.approx(3 / 11)
        assert (health.error_type, health.error_count) == (pb.ERROR_TYPE_BAD_REQUEST, 2)
        assert health.error_message == "no such user: ada@example.com 17"
        found = await world.viewer.GetDelivery(_delivery(health.sample_delivery))
        assert found.delivery.error_type == pb.ERROR_TYPE_BAD_REQUEST


def _delivery(name: str) -> object:
    from onward.delivery.v1 import delivery_service_pb2

    return delivery_service_pb2.GetDeliveryRequest(name=name)


async def test_a_destination_without_attempts_for_an_hour_is_idle_unless_it_was_unhealthy(
    database: str, nats_url: str
) -> None:
    async with running(database, nats_url) as world:
        await world.report(batch(*attempts(0, delivered=1), destination="quiet"))
        for window in range(3):
            await pass_window(world, window, failed=10)
        for window in range(3, 17, 2):
            await end_window(world, window)
        assert (await health_of(world, "quiet")).state == health_pb2.HEALTH_STATE_IDLE
        health = await health_of(world)
        assert health.state == health_pb2.HEALTH_STATE_UNHEALTHY
        assert health.error_type == pb.ERROR_TYPE_BAD_REQUEST


async def test_who_views_the_function_alone_sees_numbers_and_no_sample(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as world:
        await world.report(batch(*attempts(0, failed=2)))
        world.advance(100)
        reader = world.partial_viewer(functions=Subset.of(["to-crm"]))
        health = await health_of(world, viewer=reader)
        assert (health.attempts, health.error_type) == (2, pb.ERROR_TYPE_BAD_REQUEST)
        assert (health.error_message, health.sample_delivery) == ("", "")
        stranger = world.partial_viewer(sources=Subset.of(["ios"]))
        answer = await stranger.GetHealth(health_pb2.GetHealthRequest(parent=ACME))
        assert list(answer.destinations) == []


async def test_a_tracker_that_starts_again_judges_as_if_it_had_never_stopped(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as world:
        for window in (0, 1):
            await pass_window(world, window, failed=10)
        await world.stop()
        world.advance_stopped(150)
        await world.start()
        await pass_window(world, 2, failed=10)
        await world.stop()
        await world.start()
        await pass_window(world, 3, failed=10)
        assert [one["type"] for one in await recorded(world, *CHANGES)] == ["DestinationBecameUnhealthy"]


async def test_a_tracker_that_was_away_for_hours_tells_how_it_ended_and_not_all_that_was(
    database: str, nats_url: str
) -> None:
    async with running(database, nats_url) as world:
        await pass_window(world, 0, delivered=10)
        await world.stop()
        # Executors went on, and what they reported waited in JetStream.
        ended = [one for window in range(1, 4) for one in attempts(window, failed=10)]
        ended += [one for window in range(4, 6) for one in attempts(window, delivered=10)]
        ended += [one for window in range(6, 9) for one in attempts(window, failed=10)]
        await world.publish(batch(*ended))
        world.advance_stopped(9 * 300)
        await world.start()
        await judged(world, 8)
        assert [one["type"] for one in await recorded(world, *CHANGES)] == ["DestinationBecameUnhealthy"]


async def test_a_clock_that_jumps_changes_nothing_by_itself(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as world:
        for window in range(3):
            await pass_window(world, window, failed=10)
        before = await recorded(world, *CHANGES)
        assert isinstance(world.clock, FakeClock)
        assert world.app is not None
        # Three days ahead, as by a wrong date, and back.
        world.clock.set_now(START + timedelta(days=3))
        world.app.look()
        await judged(world, 3 * 288 - 2)
        assert await recorded(world, *CHANGES) == before
        world.clock.set_now(START + timedelta(minutes=15, seconds=10))
        world.app.look()

        async def back() -> bool:
            rows = await world.rows("SELECT judged FROM health_progress")
            return bool(rows[0]["judged"] < START_US // WINDOW_US + 10)

        await eventually(back)
        for window in (3, 4):
            await pass_window(world, window, delivered=10)
        assert [one["type"] for one in await recorded(world, *CHANGES)] == list(CHANGES)


async def test_a_window_is_judged_when_what_was_reported_of_it_is_applied(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as world:
        for window in (0, 1):
            await pass_window(world, window, failed=10)
        held = await world.hold_workspace("acme")
        await world.publish(batch(*attempts(2, failed=10)))
        world.advance(300)
        await _looked(world)
        assert await recorded(world, *CHANGES) == []
        await held.close()
        await judged(world, 2)
        assert [one["type"] for one in await recorded(world, *CHANGES)] == ["DestinationBecameUnhealthy"]


async def _looked(world: World) -> None:
    """Wait until the tracker has asked JetStream for what it has to wait for."""

    async def waiting() -> bool:
        assert world.app is not None
        health = world.app._health
        assert health is not None
        return health._judge._awaited is not None

    await eventually(waiting)


async def test_what_a_breaker_holds_back_is_unhealthy_by_the_few_probes_that_fail(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as world:
        down = {"result": pb.RESULT_RETRYABLE, "error_type": pb.ERROR_TYPE_RETRY}
        await pass_window(world, 0, failed=30, **down)
        assert await world.value("SELECT opened_at_us > 0 FROM breakers")
        for window in (1, 2):
            await pass_window(world, window, failed=2, **down)
        assert [one["type"] for one in await recorded(world, *CHANGES)] == ["DestinationBecameUnhealthy"]
        health = await health_of(world)
        assert health.breaker.state in (breakers_pb2.BREAKER_STATE_OPEN, breakers_pb2.BREAKER_STATE_HALF_OPEN)


async def test_thresholds_are_the_operators(database: str, nats_url: str) -> None:
    rules: dict[str, Any] = {"health_attempts_min": 2, "health_failing_windows": 1, "health_clean_windows": 1}
    async with running(database, nats_url, health_failing_ratio=0.2, **rules) as world:
        await pass_window(world, 0, delivered=3, failed=1)
        await pass_window(world, 1, delivered=1)
        assert [one["type"] for one in await recorded(world, *CHANGES)] == list(CHANGES)


async def test_invalid_settings_for_an_hour_make_it_unhealthy_however_few_events_there_are(
    database: str, nats_url: str
) -> None:
    async with running(database, nats_url) as world:
        for window in range(0, 11, 2):
            await pass_window(world, window, failed=1, error_type=pb.ERROR_TYPE_INVALID_SETTINGS)
        assert await recorded(world, *CHANGES) == []
        await pass_window(world, 11, failed=1, error_type=pb.ERROR_TYPE_INVALID_SETTINGS)
        (fact,) = await recorded(world, *CHANGES)
        assert fact["errorType"] == "ERROR_TYPE_INVALID_SETTINGS"
        assert fact["sinceTime"] == "2026-03-01T12:00:00Z"
