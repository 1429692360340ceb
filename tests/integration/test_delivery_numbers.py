"""Deliveries in numbers: what roll-ups answer is what the rows say."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from kit.auth.demand import Subset
from kit.errors import InvalidArgument, LimitReached
from kit.testing.eventually import eventually
from onward.delivery.v1 import delivery_service_pb2 as dpb
from onward.delivery.v1 import numbers_pb2 as npb
from onward.executor.v1 import outcomes_pb2 as pb
from services.delivery.domain.latency import bucket, percentiles_us
from services.delivery.projections.errors import GROUPS_MAX
from tests.integration.delivery_world import START_US, World, attempt, batch, running

pytestmark = pytest.mark.integration

ACME = "workspaces/acme"
CRM = f"{ACME}/destinations/crm"
SECOND, MINUTE, HOUR, DAY = 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000


@pytest.fixture
async def world(database: str, nats_url: str) -> AsyncIterator[World]:
    async with running(database, nats_url) as world:
        yield world


def time(micros: int) -> Timestamp:
    stamp = Timestamp()
    stamp.FromMicroseconds(micros)
    return stamp


def at(micros: int, number: int, **fields: Any) -> pb.Attempt:
    """An attempt of an event that was received then."""
    return attempt(number, **{"received_at_us": micros, "ended_at_us": micros + 200_000, **fields})


def failed(number: int, message: str, **fields: Any) -> pb.Attempt:
    detail = pb.AttemptDetail(event=b"{}", error_name="Error", error_message=message, http_status=404)
    values = {"result": pb.RESULT_FAILED, "error_type": pb.ERROR_TYPE_BAD_REQUEST, "detail": detail}
    return attempt(number, **{**values, **fields})


async def summary(world: World, start: int, end: int, *breakdowns: int, parent: str = ACME) -> dpb.GetSummaryResponse:
    request = dpb.GetSummaryRequest(parent=parent, start_time=time(start), end_time=time(end))
    request.breakdowns.extend(breakdowns)  # type: ignore[arg-type]  # enums are ints
    answer: dpb.GetSummaryResponse = await world.viewer.GetSummary(request)
    return answer


# --- summaries


async def test_a_summary_counts_every_state_and_says_why(world: World) -> None:
    await world.report(
        batch(
            attempt(1),
            attempt(2, http_error=True),
            failed(3, "no"),
            attempt(4, result=pb.RESULT_FILTERED, reason="drop_event"),
            attempt(5, result=pb.RESULT_FILTERED, reason="destinations/crm/filters/staff"),
            attempt(6, result=pb.RESULT_FILTERED, reason="destinations/crm/filters/staff"),
            attempt(7, result=pb.RESULT_SKIPPED),
            attempt(8, result=pb.RESULT_CANCELLED, reason="function_deleted"),
            attempt(9, result=pb.RESULT_RETRYABLE),
        )
    )
    answer = await summary(world, START_US - HOUR, START_US)
    (crm,) = answer.destinations
    assert (crm.received, crm.delivered, crm.http_errors, crm.failed, crm.pending) == (9, 2, 1, 1, 1)
    assert (crm.filtered, crm.skipped, crm.cancelled) == (3, 1, 1)
    assert dict(crm.filtered_by) == {"drop_event": 1, "destinations/crm/filters/staff": 2}
    assert dict(crm.cancelled_by) == {"function_deleted": 1}
    assert crm.success_rate == pytest.approx(2 / 3)
    assert answer.total.received == 9
    assert answer.total.latency_ms_p99 == crm.latency_ms_p99 > 0
    assert (answer.previous_total.received, crm.previous.received) == (0, 0)


async def test_the_window_before_is_told_beside_as_long_and_touching(world: World) -> None:
    refusal = pb.IngestFailure(source="web", reason="invalid_json")
    refusals = []
    for number, when in enumerate((START_US - 1, START_US - HOUR - 1, START_US - 2 * HOUR - 1), 90):
        refusals.append(pb.IngestFailure(stream_sequence=number, received_at_us=when))
        refusals[-1].MergeFrom(refusal)
    await world.report(
        batch(
            at(START_US - HOUR, 1),
            at(START_US - 1, 2),
            at(START_US - HOUR - 1, 3),
            at(START_US - 2 * HOUR, 4, ended_at_us=START_US),
            at(START_US - 2 * HOUR - 1, 5),
            at(START_US - HOUR - 2, 6, result=pb.RESULT_RETRYABLE),
        ),
        batch(at(START_US - 90 * MINUTE, 7), destination="mail"),
        batch(ingest_failures=refusals),
    )
    answer = await summary(world, START_US - HOUR, START_US)
    crm, mail = answer.destinations
    assert (crm.received, crm.previous.received, crm.previous.delivered, crm.previous.pending) == (2, 3, 2, 1)
    assert (mail.received, mail.previous.received) == (0, 1)
    assert (answer.total.received, answer.previous_total.received) == (2, 4)
    assert crm.previous.latency_ms_p99 == pytest.approx(3_600_000 * 2, rel=0.05)
    assert (dict(answer.failed_on_ingest), dict(answer.previous_failed_on_ingest)) == ({"web": 1}, {"web": 1})
    assert answer.start_time.ToMicroseconds() == START_US - HOUR
    assert answer.end_time.ToMicroseconds() == START_US


async def some_hours(world: World, chance: random.Random) -> None:
    """Five hours of events for two destinations, reported in no order and by several batches, some of them twice."""
    attempts: dict[str, list[pb.Attempt]] = {"crm": [], "mail": []}
    for number in range(1, 400):
        when = START_US - chance.randrange(5 * HOUR)
        result = chance.choice([pb.RESULT_DELIVERED] * 4 + [pb.RESULT_FILTERED, pb.RESULT_SKIPPED])
        took: dict[str, Any] = {"received_at_us": when, "ended_at_us": when + chance.randrange(1, 100) * 10_000}
        name = chance.choice(["Signed Up", "Order Completed", ""])
        fields: dict[str, Any] = {
            **took,
            "event_name": name,
            "http_error": chance.random() < 0.1,
            "wall_us": number,
            "cpu_us": 7,
        }
        one = attempt(number, result=result, **fields) if number % 9 else failed(number, f"no {number}", **fields)
        attempts[chance.choice(["crm", "mail"])].append(one)
    batches = []
    for destination, all_ in attempts.items():
        chance.shuffle(all_)
        batches += [batch(*all_[start : start + 50], destination=destination) for start in range(0, len(all_), 50)]
    chance.shuffle(batches)
    # Some come again as they are, and some attempts in a batch of another id.
    again = [batch(*batches[0].destinations[0].attempts, destination=batches[0].destinations[0].destination)]
    await world.report(*batches, *batches[:3], *again)


async def test_sums_of_any_window_are_what_its_rows_say(world: World) -> None:
    """A batch that comes twice, or an attempt in two batches, counts once."""
    chance = random.Random(7)
    await some_hours(world, chance)
    rows = await world.rows("SELECT * FROM attempts")
    assert len(rows) == 399
    for _ in range(12):
        first = START_US // MINUTE - chance.randrange(1, 320)
        last = first + chance.randrange(1, 300)
        answer = await summary(world, first * MINUTE, last * MINUTE)
        for destination in ("crm", "mail"):
            within = [
                row for row in rows
                if row["destination"] == destination and first <= row["received_at_us"] // MINUTE < last
            ]  # fmt: skip
            found = [one for one in answer.destinations if one.destination.endswith(destination)]
            one = found[0] if found else dpb.DestinationSummary()
            states = Counter(row["state"] for row in within)
            assert (one.delivered, one.failed, one.filtered, one.skipped) == (
                states[2],
                states[3],
                states[4],
                states[5],
            )
            assert one.http_errors == sum(row["http_error"] for row in within if row["state"] == 2)
            latencies = Counter(
                bucket(row["ended_at_us"] - row["received_at_us"]) for row in within if row["state"] == 2
            )
            assert [one.latency_ms_p50 * 1000, one.latency_ms_p99 * 1000] == percentiles_us(latencies, [0.5, 0.99])


async def test_breakdowns_add_up_to_the_whole(world: World) -> None:
    await some_hours(world, random.Random(8))
    await world.report(batch(at(START_US - MINUTE, 900, result=pb.RESULT_RETRYABLE, error_type=pb.ERROR_TYPE_TIMEOUT)))
    dimensions = (npb.DIMENSION_ERROR_TYPE, npb.DIMENSION_EVENT_TYPE, npb.DIMENSION_EVENT_NAME)
    answer = await summary(world, START_US - 5 * HOUR, START_US, *dimensions)
    assert [one.dimension for one in answer.breakdowns] == list(dimensions)
    errors, types, names = ({row.value: row.counts for row in one.rows} for one in answer.breakdowns)
    assert {value: (row.failed, row.pending) for value, row in errors.items()} == {
        "BAD_REQUEST": (answer.total.failed, 0),
        "TIMEOUT": (0, 1),
    }
    assert types["TRACK"].received == answer.total.received
    assert set(names) == {"Signed Up", "Order Completed", ""}
    assert sum(row.received for row in names.values()) == answer.total.received - 1
    assert sum(row.http_errors for row in names.values()) == answer.total.http_errors
    counts = [row.counts.received for row in answer.breakdowns[2].rows]
    assert counts == sorted(counts, reverse=True)


async def test_an_end_that_comes_hours_later_counts_where_its_event_was_received(world: World) -> None:
    received = START_US - 30 * MINUTE
    await world.report(batch(at(received, 1, result=pb.RESULT_RETRYABLE)))
    assert (await summary(world, received, received + MINUTE)).total.pending == 1
    late = START_US + 3 * HOUR
    await world.report(batch(at(received, 1, attempt=2, ended_at_us=late)))
    total = (await summary(world, received, received + MINUTE)).total
    assert (total.received, total.pending, total.delivered, total.delivered_after_retry) == (1, 0, 1, 1)
    assert total.latency_ms_p50 == pytest.approx((late - received) / 1000, rel=0.05)


@pytest.mark.parametrize("breakdowns", [[0], [9], [1, 2, 3, 1]])
async def test_a_breakdown_by_nothing_is_refused(world: World, breakdowns: list[int]) -> None:
    with pytest.raises(InvalidArgument):
        await summary(world, START_US - HOUR, START_US, *breakdowns)


async def test_a_span_of_all_time_is_answered(world: World) -> None:
    await world.report(batch(attempt(1)))
    assert (await summary(world, 0, 253_402_300_799 * SECOND)).total.received == 1


# --- series


async def series(world: World, viewer: Any = None, **fields: Any) -> npb.GetSeriesResponse:
    request = npb.GetSeriesRequest(**{"parent": ACME, **fields})
    answer: npb.GetSeriesResponse = await (viewer or world.viewer).GetSeries(request)
    return answer


@pytest.mark.parametrize("interval", [1, 2, 3, 4])
async def test_the_points_of_a_series_are_what_summaries_of_them_say(world: World, interval: Any) -> None:
    await some_hours(world, random.Random(9))
    await world.report(batch(at(START_US - MINUTE, 900, result=pb.RESULT_RETRYABLE)))
    start, end = START_US - 4 * HOUR - 7 * MINUTE, START_US
    answer = await series(world, start_time=time(start), end_time=time(end), interval=interval)
    (one,) = answer.series
    length = {1: MINUTE, 2: 5 * MINUTE, 3: HOUR, 4: DAY}[interval]
    times = [point.start_time.ToMicroseconds() for point in one.points]
    assert times == list(range(start // length * length, end, length))
    some = [point for point in one.points if point.counts.received][:12]
    assert some
    for point in [*some, one.points[-1]]:
        begins = point.start_time.ToMicroseconds()
        assert point.counts == (await summary(world, begins, begins + length)).total


async def test_every_destination_has_its_own_series(world: World) -> None:
    await some_hours(world, random.Random(10))
    span = {"start_time": time(START_US - 3 * HOUR), "end_time": time(START_US)}
    answer = await series(world, by_destination=True, **span)
    assert answer.interval == npb.SERIES_INTERVAL_MINUTE
    assert [one.destination for one in answer.series] == [CRM, f"{ACME}/destinations/mail"]
    alone = await series(world, parent=CRM, **span)
    assert list(alone.series[0].points) == list(answer.series[0].points)
    together = await series(world, **span)
    for whole, *parts in zip(together.series[0].points, *(one.points for one in answer.series), strict=True):
        assert whole.counts.received == sum(part.counts.received for part in parts)


async def test_a_series_of_the_workspace_counts_refused_events(world: World) -> None:
    failures = [
        pb.IngestFailure(stream_sequence=number, source=source, reason="no", received_at_us=START_US - 1)
        for number, source in enumerate(("web", "web", "app"))
    ]
    await world.report(batch(ingest_failures=failures))
    assert (await series(world)).series[0].points[-2].failed_on_ingest == 3
    viewer = world.partial_viewer(sources=Subset.of(["app"]))
    assert (await series(world, viewer)).series[0].points[-2].failed_on_ingest == 1


async def test_too_many_points_are_refused(world: World) -> None:
    with pytest.raises(LimitReached, match="longer interval"):
        await series(world, start_time=time(START_US - DAY), interval=npb.SERIES_INTERVAL_MINUTE)
    await world.report(*(batch(attempt(1), destination=f"d{number}") for number in range(30)))
    with pytest.raises(LimitReached, match="one destination"):
        await series(world, start_time=time(START_US - 900 * MINUTE), interval=1, by_destination=True)


# --- errors


async def errors(world: World, viewer: Any = None, **fields: Any) -> list[npb.ErrorGroup]:
    request = npb.ListErrorGroupsRequest(**{"parent": ACME, "samples": 100, **fields})
    return list((await (viewer or world.viewer).ListErrorGroups(request)).error_groups)


async def test_errors_that_say_the_same_are_one_group_with_their_deliveries(world: World) -> None:
    others = [failed(number, "quota") for number in range(10, 12)]
    await world.report(
        batch(*(failed(number, f"no user {number} in list") for number in range(1, 6)), *others),
        batch(failed(1, "no user 1 in list"), destination="mail"),
    )
    first, quota, mail = await errors(world)
    assert (first.shape, first.attempts, first.failed) == ("no user <number> in list", 5, 5)
    assert (first.error_type, first.error_name, first.http_status) == (pb.ERROR_TYPE_BAD_REQUEST, "Error", 404)
    assert (first.destination, first.source, first.example) == (CRM, f"{ACME}/sources/web", "no user 5 in list")
    assert (quota.shape, quota.attempts, mail.destination, mail.attempts) == (
        "quota",
        2,
        f"{ACME}/destinations/mail",
        1,
    )
    assert [name.partition("/d")[2].split("-")[0].rpartition("/d")[2] for name in first.samples] == list("54321")
    shown = await world.viewer.GetDelivery(dpb.GetDeliveryRequest(name=first.samples[0]))
    assert shown.attempts[0].error_group == first.id
    assert shown.attempts[0].detail.error_message == "no user 5 in list"
    (only,) = await errors(world, error_group=first.id)
    assert only == first


async def test_retries_count_as_attempts_and_their_end_as_failed(world: World) -> None:
    received = START_US - MINUTE

    def tried(number: int, **fields: Any) -> pb.Attempt:
        retry = {"result": pb.RESULT_RETRYABLE, "error_type": pb.ERROR_TYPE_RETRY, "received_at_us": received}
        return failed(1, "busy", **{**retry, "attempt": number, "ended_at_us": START_US + number, **fields})

    await world.report(batch(tried(1)), batch(tried(2)))
    await world.report(batch(tried(3, result=pb.RESULT_FAILED)))
    (one,) = await errors(world)
    assert (one.attempts, one.failed, len(one.samples)) == (3, 1, 1)
    assert one.first_seen_time.ToMicroseconds() == START_US + 1
    assert one.last_seen_time.ToMicroseconds() == START_US + 3
    rows = await world.rows("SELECT DISTINCT error_group FROM attempts")
    assert len(rows) == 1


async def test_only_failed_attempts_have_a_group(world: World) -> None:
    await world.report(
        batch(
            attempt(1),
            attempt(2, result=pb.RESULT_FILTERED),
            attempt(3, result=pb.RESULT_LOST, error_type=pb.ERROR_TYPE_INTERNAL),
            attempt(4, result=pb.RESULT_DEFERRED),
            failed(5, "no"),
        )
    )
    rows = await world.rows("SELECT stream_sequence FROM attempts WHERE error_group <> 0")
    assert [row["stream_sequence"] for row in rows] == [5]


async def test_errors_are_counted_within_the_asked_time(world: World) -> None:
    early, late = START_US - 2 * HOUR, START_US - MINUTE
    await world.report(
        batch(
            *(failed(number, "no", received_at_us=early, ended_at_us=early) for number in range(1, 4)),
            failed(4, "no", received_at_us=late, ended_at_us=late),
        )
    )
    (now,) = await errors(world)
    assert (now.attempts, len(now.samples)) == (1, 1)
    assert now.first_seen_time.ToMicroseconds() == early
    (then,) = await errors(world, start_time=time(early - HOUR), end_time=time(early + HOUR))
    assert (then.attempts, then.id) == (3, now.id)
    assert not await errors(world, start_time=time(early - HOUR), end_time=time(early))


async def test_pages_of_errors_join(world: World) -> None:
    words = ["one", "two", "three", "four", "five"]
    attempts = [failed(10 * place + number, word) for place, word in enumerate(words, 1) for number in range(place)]
    await world.report(batch(*attempts))
    found, token = [], ""
    while True:
        request = npb.ListErrorGroupsRequest(parent=ACME, page_size=2, page_token=token)
        answer = await world.viewer.ListErrorGroups(request)
        found += [(one.shape, one.attempts) for one in answer.error_groups]
        token = answer.next_page_token
        if not token:
            break
    assert found == [("five", 5), ("four", 4), ("three", 3), ("two", 2), ("one", 1)]
    with pytest.raises(InvalidArgument):
        await errors(world, error_group="nonsense")


def words(number: int) -> str:
    """A message of letters for a number, which no placeholder stands for."""
    return "no " + "".join(chr(ord("a") + int(digit)) for digit in str(number))


async def test_messages_without_end_fill_one_group_more_also_after_a_restart(world: World) -> None:
    many = GROUPS_MAX + 30
    await world.report(*(batch(failed(number, words(number))) for number in range(1, many // 2)))
    await world.stop()
    await world.start()
    await world.report(batch(*(failed(number, words(number)) for number in range(many // 2, many + 1))))
    assert await world.value("SELECT count(*) FROM error_groups WHERE NOT overflow") == GROUPS_MAX
    (rest,) = [one for one in await errors(world, page_size=1000, samples=20) if one.overflow]
    assert (rest.attempts, rest.failed, rest.shape, rest.error_type) == (30, 30, "", pb.ERROR_TYPE_BAD_REQUEST)
    assert len(rest.samples) == 20
    assert await world.value("SELECT sum(attempts) FROM error_rollups") == many
    known = await world.value(
        "SELECT count(*) FROM attempts JOIN error_groups USING (workspace, destination, error_group)"
    )
    assert known == many
    await world.report(batch(failed(many + 1, words(1))))
    assert (await errors(world, error_group=rest.id))[0].attempts == 30


async def test_groups_of_an_earlier_day_make_room(world: World) -> None:
    await world.report(batch(*(failed(number, words(number)) for number in range(GROUPS_MAX))))
    world.advance_stopped(86_500)
    later = {"received_at_us": START_US + DAY, "ended_at_us": START_US + DAY}
    await world.report(batch(failed(999, "something else", **later)))
    assert await world.value("SELECT overflow FROM error_groups WHERE last_seen_us >= $1", START_US + DAY) is False


# --- hosts and usage


def host(name: str, latencies_ms: list[int], errors: int = 0, network: int = 0, **fields: Any) -> pb.HostCalls:
    return pb.HostCalls(
        host=name, calls=len(latencies_ms) + network + fields.get("unanswered", 0), http_errors=errors,
        network_errors=network, latencies_us=[1000 * one for one in latencies_ms], **fields,
    )  # fmt: skip


def with_hosts(outcomes: pb.OutcomeBatch, *hosts: pb.HostCalls) -> pb.OutcomeBatch:
    outcomes.destinations[0].hosts.extend(hosts)
    return outcomes


async def test_hosts_are_shown_with_the_worst_first_over_all_who_call_them(world: World) -> None:
    now = {"ended_at_us": START_US - 1}
    good, bad = host("good.example", [10] * 5), host("bad.example", [10, 20], errors=1, network=2, unanswered=1)
    twice = with_hosts(batch(attempt(1, **now)), good, bad)
    await world.report(twice)
    await world.report(twice, with_hosts(batch(attempt(1, **now), destination="mail"), host("bad.example", [900])))
    early = {"ended_at_us": START_US - 3 * HOUR}
    await world.report(with_hosts(batch(attempt(2, **early)), host("good.example", [1])))
    answer = await world.viewer.ListHostHealth(npb.ListHostHealthRequest(parent=ACME))
    worst, best = answer.hosts
    assert (worst.host, worst.calls, worst.http_errors, worst.network_errors, worst.unanswered) == (
        "bad.example", 6, 1, 2, 1,
    )  # fmt: skip
    assert worst.success_rate == pytest.approx(2 / 5)
    assert [worst.latency_ms_p50, worst.latency_ms_p95] == pytest.approx([20, 900], rel=0.05)
    assert [(one.destination, one.calls) for one in worst.destinations] == [(CRM, 5), (f"{ACME}/destinations/mail", 1)]
    assert (best.host, best.calls, best.success_rate) == ("good.example", 5, 1)
    mail = await world.viewer.ListHostHealth(npb.ListHostHealthRequest(parent=f"{ACME}/destinations/mail"))
    assert [(one.host, one.calls) for one in mail.hosts] == [("bad.example", 1)]


async def test_hosts_that_code_makes_up_are_counted_together(world: World) -> None:
    for number in range(60):
        outcomes = batch(attempt(number + 1, ended_at_us=START_US - 1))
        await world.report(with_hosts(outcomes, host(f"h{number}.example", [5])))
    rows = await world.rows("SELECT host, calls FROM host_rollups")
    assert len(rows) == 51
    assert {row["calls"] for row in rows if row["host"] == "other"} == {10}


async def test_a_host_that_postgres_cannot_store_stops_nobody(world: World) -> None:
    await world.report(with_hosts(batch(attempt(1, ended_at_us=START_US - 1)), host("\0" + "x" * 9000, [5])))
    (one,) = (await world.viewer.ListHostHealth(npb.ListHostHealthRequest(parent=ACME))).hosts
    assert (len(one.host), one.calls) == (255, 1)


async def test_calls_of_a_batch_that_is_taken_apart_count_once(world: World) -> None:
    beyond = attempt(2**63, received_at_us=START_US, ended_at_us=START_US)
    attempts = [attempt(number, ended_at_us=START_US) for number in range(1, 6)]
    await world.publish(with_hosts(batch(*attempts, beyond), host("a.example", [5, 6, 7])))
    await eventually(lambda: world.value("SELECT count(*) = 1 FROM dead_outcomes"), timeout_s=15)
    await eventually(lambda: world.value("SELECT count(*) = 5 FROM attempts"))
    assert await world.value("SELECT sum(calls)::int FROM host_rollups") == 3
    assert await world.value("SELECT sum(attempts)::int FROM usage_rollups") == 5


async def test_usage_is_what_attempts_took_by_function_and_day(world: World) -> None:
    yesterday = {"received_at_us": START_US - DAY, "ended_at_us": START_US - DAY}
    bytes_ = {"request_bytes": 1000, "response_bytes": 300}
    first = with_hosts(batch(attempt(1, wall_us=5000, cpu_us=900), failed(2, "no", wall_us=70, cpu_us=8)),
                       host("a.example", [10], **bytes_), host("b.example", [10], **bytes_))  # fmt: skip
    await world.report(
        first,
        first,
        batch(attempt(3, result=pb.RESULT_FILTERED, wall_us=0, cpu_us=0), attempt(4, result=pb.RESULT_RETRYABLE)),
        batch(attempt(5, wall_us=11, cpu_us=1), destination="mail", function="to-mail"),
        batch(attempt(6, wall_us=33, cpu_us=3, **yesterday)),
    )
    usage = (await world.viewer.GetUsage(npb.GetUsageRequest(parent=ACME))).usage
    told = [(one.function.rpartition("/")[2], one.day_time.ToDatetime().day, one.attempts, one.wall_us, one.cpu_us)
            for one in usage]  # fmt: skip
    assert told == [("to-crm", 28, 1, 33, 3), ("to-crm", 1, 3, 5170, 958), ("to-mail", 1, 1, 11, 1)]
    assert (usage[1].requests, usage[1].request_bytes, usage[1].response_bytes) == (2, 2000, 600)
    rows = await world.rows("SELECT sum(wall_us)::bigint AS wall_us, sum(cpu_us)::bigint AS cpu_us FROM attempts")
    assert (rows[0]["wall_us"], rows[0]["cpu_us"]) == (
        sum(one.wall_us for one in usage),
        sum(one.cpu_us for one in usage),
    )


# --- parts


async def test_who_sees_a_part_of_a_workspace_sees_numbers_of_that_part(world: World) -> None:
    now = {"ended_at_us": START_US - 1}
    for destination, source, function in (("crm", "web", "f"), ("mail", "web", "g"), ("erp", "app", "g")):
        made = batch(attempt(1, **now), failed(2, "no"), destination=destination, source=source, function=function)
        await world.report(with_hosts(made, host("api.example", [5])))

    async def seen(**subsets: Subset) -> tuple[set[str], int, int, int, dict[str, int]]:
        viewer = world.partial_viewer(**subsets)
        answer = await viewer.GetSummary(dpb.GetSummaryRequest(parent=ACME))
        listed = await viewer.GetSeries(npb.GetSeriesRequest(parent=ACME, by_destination=True))
        whole = (await viewer.GetSeries(npb.GetSeriesRequest(parent=ACME))).series[0]
        health = (await viewer.ListHostHealth(npb.ListHostHealthRequest(parent=ACME))).hosts[0]
        usage = (await viewer.GetUsage(npb.GetUsageRequest(parent=ACME))).usage
        shown = {one.destination.rpartition("/")[2] for one in answer.destinations}
        assert shown == {one.destination.rpartition("/")[2] for one in listed.series}
        assert shown == {one.destination.rpartition("/")[2] for one in health.destinations}
        received = sum(point.counts.received for point in whole.points)
        by_function = {one.function.rpartition("/")[2]: one.attempts for one in usage}
        return shown, answer.total.received, received, health.calls, by_function

    assert await seen(sources=Subset.of(["web"])) == ({"crm", "mail"}, 4, 4, 2, {"f": 2, "g": 2})
    assert await seen(functions=Subset.of(["g"])) == ({"mail", "erp"}, 4, 4, 2, {"g": 4})
    web = world.partial_viewer(sources=Subset.of(["web"]))
    assert {one.destination.rpartition("/")[2] for one in await errors(world, web)} == {"crm", "mail"}
    (erp,) = [one for one in await errors(world) if one.destination.endswith("erp")]
    assert not await errors(world, web, error_group=erp.id)
    assert not await errors(world, world.partial_viewer(functions=Subset.of(["g"])))


async def test_numbers_go_with_the_attempts_that_they_count(database: str, nats_url: str) -> None:
    tables = (
        "rollups", "hour_rollups", "latency_rollups", "hour_latency_rollups", "reason_rollups", "hour_reason_rollups",
        "error_rollups", "error_groups", "usage_rollups", "host_rollups", "host_latency_rollups", "ingest_rollups",
    )  # fmt: skip
    async with running(database, nats_url, retention_days=1) as world:
        refusal = pb.IngestFailure(source="web", reason="no", received_at_us=START_US)
        outcomes = batch(attempt(1), failed(2, "no"), attempt(3, result=pb.RESULT_FILTERED, reason="drop_event"))
        outcomes.ingest_failures.append(refusal)
        await world.report(with_hosts(outcomes, host("a.example", [5])))
        for table in tables:
            assert await world.value(f"SELECT count(*) FROM {table}") > 0, table
        await world.stop()
        world.advance_stopped(3 * 86400)
        await world.start()
        for table in tables:
            assert await world.value(f"SELECT count(*) FROM {table}") == 0, table
