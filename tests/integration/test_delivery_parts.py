"""Who administers some sources sees their deliveries and no others; who reads some functions sees their counts."""

from __future__ import annotations

import pytest

from kit.auth.demand import Subset
from kit.errors import NotFound, PermissionDenied
from onward.delivery.v1 import delivery_service_pb2 as dpb
from onward.executor.v1 import outcomes_pb2 as pb
from services.delivery.domain.identity import delivery_id
from tests.integration.delivery_world import START_US, World, attempt, batch, running

pytestmark = pytest.mark.integration

ACME = "workspaces/acme"
WEB = Subset.of(["web"])


async def two_sources(world: World) -> None:
    """Three destinations: crm and mail on web, erp on app; delivered and pending ones of each."""
    for destination, source, function in (("crm", "web", "f"), ("mail", "web", "g"), ("erp", "app", "g")):
        attempts = [attempt(number) for number in range(1, 6)] + [attempt(9, result=pb.RESULT_RETRYABLE)]
        await world.report(batch(*attempts, destination=destination, source=source, function=function))


async def test_lists_show_the_deliveries_of_ones_own_sources_page_by_page(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as world:
        await two_sources(world)
        viewer = world.partial_viewer(sources=WEB)
        shown: list[dpb.Delivery] = []
        token = ""
        while True:
            page = await viewer.ListDeliveries(dpb.ListDeliveriesRequest(parent=ACME, page_size=5, page_token=token))
            shown += page.deliveries
            token = page.next_page_token
            if not token:
                break
            assert len(page.deliveries) == 5
        assert len({one.name for one in shown}) == len(shown) == 12
        assert {one.source for one in shown} == {f"{ACME}/sources/web"}
        assert {one.state for one in shown} == {dpb.DELIVERY_STATE_PENDING, dpb.DELIVERY_STATE_DELIVERED}
        of_one = dpb.ListDeliveriesRequest(parent=f"{ACME}/destinations/erp")
        assert not (await viewer.ListDeliveries(of_one)).deliveries


async def test_a_message_is_found_only_at_ones_own_sources(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as world:
        await two_sources(world)
        request = dpb.ListDeliveriesRequest(parent=ACME, message_id="m1")
        assert len((await world.viewer.ListDeliveries(request)).deliveries) == 3
        found = (await world.partial_viewer(sources=WEB).ListDeliveries(request)).deliveries
        assert {one.destination.rpartition("/")[2] for one in found} == {"crm", "mail"}


async def test_somebody_elses_delivery_is_denied_as_if_there_were_none(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as world:
        await two_sources(world)
        viewer = world.partial_viewer(sources=WEB)

        def request(destination: str, sequence: int = 1) -> dpb.GetDeliveryRequest:
            return dpb.GetDeliveryRequest(name=f"{ACME}/deliveries/{delivery_id(sequence, 0, destination)}")

        assert (await viewer.GetDelivery(request("crm"))).delivery.source == f"{ACME}/sources/web"
        assert (await viewer.GetDelivery(request("crm", 9))).delivery.state == dpb.DELIVERY_STATE_PENDING
        for hidden in (request("erp"), request("erp", 9), request("erp", 77)):
            with pytest.raises(PermissionDenied):
                await viewer.GetDelivery(hidden)
        with pytest.raises(NotFound):
            await world.viewer.GetDelivery(request("erp", 77))


async def test_a_summary_counts_ones_own_functions_and_sources(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as world:
        await two_sources(world)
        failures = [
            pb.IngestFailure(stream_sequence=number, source=source, reason="invalid_json", received_at_us=START_US - 1)
            for number, source in enumerate(("web", "app", "app"), 50)
        ]
        await world.report(batch(ingest_failures=failures))

        async def summary(**subsets: Subset) -> tuple[set[str], dict[str, int]]:
            answer = await world.partial_viewer(**subsets).GetSummary(dpb.GetSummaryRequest(parent=ACME))
            shown = {one.destination.rpartition("/")[2]: one for one in answer.destinations}
            assert all((one.delivered, one.pending) == (5, 1) for one in shown.values())
            assert all(one.latency_ms_p50 > 0 for one in shown.values())
            return set(shown), dict(answer.failed_on_ingest)

        assert await summary(sources=WEB) == ({"crm", "mail"}, {"web": 1})
        assert await summary(functions=Subset.of(["g"])) == ({"mail", "erp"}, {})
        assert await summary(functions=Subset.of(["f"]), sources=Subset.of(["app"])) == ({"crm", "erp"}, {"app": 2})


async def test_refused_events_are_shown_to_those_who_administer_their_source(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as world:
        failures = [
            pb.IngestFailure(stream_sequence=number, source=source, reason="invalid_json", received_at_us=START_US)
            for number, source in enumerate(("web", "app", "web", "no-such-source"), 1)
        ]
        await world.report(batch(ingest_failures=failures))
        viewer = world.partial_viewer(sources=WEB)
        first = await viewer.ListIngestFailures(dpb.ListIngestFailuresRequest(parent=ACME, page_size=1))
        request = dpb.ListIngestFailuresRequest(parent=ACME, page_size=1, page_token=first.next_page_token)
        second = await viewer.ListIngestFailures(request)
        assert [one.stream_sequence for one in (*first.failures, *second.failures)] == [3, 1]
        assert not second.next_page_token
        everything = await world.viewer.ListIngestFailures(dpb.ListIngestFailuresRequest(parent=ACME))
        assert len(everything.failures) == 4


async def test_a_watch_shows_what_happens_at_ones_own_sources(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as world:
        watch = world.partial_viewer(sources=WEB).WatchDeliveries(dpb.WatchDeliveriesRequest(parent=ACME))
        await watch.read()
        await world.report(batch(attempt(1), destination="erp", source="app"), batch(attempt(2), destination="crm"))
        told = await watch.read()
        assert [one.source for one in told.deliveries] == [f"{ACME}/sources/web"]
        watch.cancel()
