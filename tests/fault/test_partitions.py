"""Networks that swallow everything between the services and NATS, and between the services and Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
import pytest_asyncio

from cli.stack import SERVICES, STORING_SERVICES
from kit.embedded.data_folder import DataFolder
from kit.embedded.postgres import SUPERUSER
from kit.embedded.postgres_conf import SOCKET_PORT
from kit.errors import DeadlineExceeded, Unavailable
from kit.ids import uuid7
from kit.testing.eventually import eventually
from kit.testing.servers import short_lived_folder
from onward.delivery.v1 import delivery_service_pb2 as pb
from onward.registry.v1 import source_service_pb2 as sources
from onward.registry.v1 import source_service_pb2_grpc as sources_rpc
from tests.fault.events import PLAIN, ids, make_events
from tests.fault.ledger import check_deliveries, check_trail, query
from tests.fault.partition import Partition
from tests.fault.system import WORKSPACE, System, all_serving, answered, running_in

pytestmark = [pytest.mark.fault, pytest.mark.timeout(240)]

EVENTS = 2_000
# Each service tries again after three pings without an answer (15 s), and then every few seconds.
NOTICED_TIMEOUT_S = 60.0
# A call of Postgres ends after 12 s at the latest.
REFUSED_TIMEOUT_S = 30.0


@dataclass(slots=True)
class Cut:
    """A system and the two networks of its services."""

    system: System
    nats: Partition
    postgres: Partition


@pytest_asyncio.fixture
async def cut() -> AsyncIterator[Cut]:
    with short_lived_folder() as folder:
        async with AsyncExitStack() as stack:
            with DataFolder(folder / "data") as data:
                port, sockets = data.port("nats"), data.socket_folder("sockets")
            nats, nats_url = await _way_to_nats(stack, port)
            postgres, ways = await _way_to_postgres(stack, sockets, folder / "way")
            overrides = {service: {"ONWARD_NATS_URL": nats_url} for service in SERVICES}
            for service, dsn in ways.items():
                overrides[service]["ONWARD_POSTGRES_DSN"] = dsn
            system = await stack.enter_async_context(running_in(folder / "data", overrides))
            await all_serving(system)
            yield Cut(system, nats, postgres)
            nats.heal()
            postgres.heal()


async def _way_to_nats(stack: AsyncExitStack, port: int) -> tuple[Partition, str]:
    way = await stack.enter_async_context(Partition(lambda: asyncio.open_connection("127.0.0.1", port)))
    server = await stack.enter_async_context(await asyncio.start_server(way.accept, "127.0.0.1", 0))
    return way, f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def _way_to_postgres(stack: AsyncExitStack, sockets: Path, folder: Path) -> tuple[Partition, dict[str, str]]:
    """A socket in a folder of its own, and the dsns that name it."""
    folder.mkdir()
    name = f".s.PGSQL.{SOCKET_PORT}"
    way = await stack.enter_async_context(Partition(lambda: asyncio.open_unix_connection(sockets / name)))
    await stack.enter_async_context(await asyncio.start_unix_server(way.accept, path=folder / name))
    host = quote(str(folder), safe="")
    dsn = f"postgresql://{SUPERUSER}@/onward_{{}}?host={host}&port={SOCKET_PORT}"
    return way, {service: dsn.format(service) for service in STORING_SERVICES}


async def test_while_nats_swallows_everything_changes_are_accepted_and_nothing_is_lost(cut: Cut) -> None:
    """B12: no service can hear or be heard on the bus, until each has noticed and tried in vain to connect again."""
    system = cut.system
    route = await system.route(PLAIN)
    events = make_events(route, EVENTS)
    publishing = await system.publish(route, events, rate=EVENTS // 4)
    await system.reached(route, EVENTS // 4)
    cut.nats.cut()
    for number in range(10):
        await system.create_source(f"meanwhile-{number}")
    await publishing.acknowledged()
    await eventually(lambda: cut.nats.tries >= 2 * len(SERVICES), timeout_s=NOTICED_TIMEOUT_S)
    await system.create_source("at-last")
    cut.nats.heal()
    rows = await check_deliveries(system, route, ids(events))
    assert not any(row.retries_used for row in rows)
    await check_trail(system)


async def test_while_postgres_swallows_everything_calls_are_refused_in_time_and_nothing_is_half_written(
    cut: Cut,
) -> None:
    """B13."""
    system = cut.system
    route = await system.route(PLAIN)
    events = make_events(route, EVENTS)
    publishing = await system.publish(route, events, rate=EVENTS // 4)
    await system.reached(route, EVENTS // 4)
    cut.postgres.cut()
    await publishing.acknowledged()
    stub: sources_rpc.SourceServiceAsyncStub = sources_rpc.SourceServiceStub(system.owner("registry"))
    change = sources.CreateSourceRequest(
        parent=f"workspaces/{WORKSPACE}", source_id="half", display_name="half", request_id=uuid7()
    )
    question = pb.GetSummaryRequest(parent=f"workspaces/{WORKSPACE}/destinations/{route.destination}")
    async with asyncio.timeout(REFUSED_TIMEOUT_S):
        with pytest.raises((Unavailable, DeadlineExceeded)):
            await stub.CreateSource(change)
        with pytest.raises((Unavailable, DeadlineExceeded)):
            await system.deliveries.GetSummary(question)
    assert not await query(system, "SELECT 1 FROM sources WHERE source = 'half'", database="registry")
    cut.postgres.heal()
    assert (await answered(lambda: stub.CreateSource(change))).position > 0
    rows = await check_deliveries(system, route, ids(events))
    assert not any(row.retries_used for row in rows)
    await check_trail(system)
