"""What is judged of what was found: the levels of each check, and what `onward doctor` makes of them."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import grpc.aio
import pytest
from rich.console import Console

from cli import output
from cli.commands import doctor
from cli.diagnosis import Found, Target, judge_clocks, judge_services, judge_versions
from cli.local_checks import PYTHON_BELOW, PYTHON_MIN, judge_disk, judge_python, local_checks
from kit import release
from kit.clock import FakeClock
from kit.errors import InvalidToken, Unavailable
from kit.status.check import FAILURE, GIB, MIB, OK, WARNING, Check, Probe, counted, failure, ok, size, warning
from kit.status.clocks import judge_clock, outside
from kit.status.lag import judge_lag, still_behind
from kit.status.nats import Backlog, judge_backlog, judge_connection, judge_durability
from kit.status.postgres import judge_connections, judge_server
from kit.status.process import judge_telemetry, judge_tls
from kit.status.servicer import StatusServicer
from onward.common.v1 import status_service_pb2 as pb
from onward.registry.v1.operator_service_pb2 import GetKeyStatusResponse, KeyStatus
from services.audit.handlers.checks import judge_log
from services.delivery.handlers.checks import judge_refused, judge_retries, judge_storage
from services.executor.handlers.checks import judge_memory, judge_sandbox, judge_workers
from services.registry.handlers.checks import judge_door, judge_keys

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
SYNCED = {"jetstream": {"config": {"sync_always": True, "sync_interval": 120_000_000_000}}}
UNSYNCED = {"jetstream": {"config": {"sync_interval": 120_000_000_000}}}
ON = {"version": "18.6 (Debian)", "fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


def backlog(pending: int = 0, filled: int = 0, stream: str = "OUTCOMES", unacknowledged: int = 0) -> Backlog:
    return Backlog(stream, pending, unacknowledged, filled, 1000)


# --- the levels of each check


@pytest.mark.parametrize(
    ("check", "level"),
    [
        (judge_tls(None, NOW), OK),
        (judge_tls(NOW + 30 * DAY, NOW), OK),
        (judge_tls(NOW + 29 * DAY, NOW), WARNING),
        (judge_tls(NOW + 7 * DAY, NOW), WARNING),
        (judge_tls(NOW + 6 * DAY, NOW), FAILURE),
        (judge_tls(NOW - DAY, NOW), FAILURE),
        (judge_telemetry(None), OK),
        (judge_telemetry("http://collector:4317"), OK),
        (judge_connection("nats:4222", "2.15.1", connected=True), OK),
        (judge_connection("nats:4222", "2.12.0", connected=True), OK),
        (judge_connection("nats:4222", "2.11.9", connected=True), WARNING),
        (judge_connection("nats:4222", "2.9.0", connected=True), WARNING),
        (judge_connection("nats:4222", "2.15.1", connected=False), FAILURE),
        (judge_durability("strict", SYNCED), OK),
        (judge_durability("relaxed", SYNCED), OK),
        (judge_durability("relaxed", UNSYNCED), WARNING),
        (judge_durability("relaxed", {}), WARNING),
        (judge_durability("relaxed", None), WARNING),
        (judge_durability("strict", UNSYNCED), FAILURE),
        (judge_server(ON), OK),
        (judge_server(ON | {"fsync": "off"}), FAILURE),
        (judge_server(ON | {"synchronous_commit": "off"}), FAILURE),
        (judge_server(ON | {"full_page_writes": "off"}), FAILURE),
        (judge_connections(80, 100, 0), OK),
        (judge_connections(81, 100, 0), WARNING),
        (judge_lag("relay", {}, 3, "wait"), OK),
        (judge_lag("relay", {"acme": 1}, 3, "wait"), WARNING),
        (judge_backlog("outcomes", [backlog(500)], 500, "wait", refills=False), OK),
        (judge_backlog("outcomes", [backlog(400, unacknowledged=101)], 500, "wait", refills=False), WARNING),
        (judge_backlog("outcomes", [backlog(1, filled=801)], 500, "wait", refills=False), WARNING),
        (judge_backlog("events", [backlog(1, filled=801)], 500, "wait", refills=True), OK),
        (judge_backlog("events", [], 500, "wait", refills=True), OK),
        (judge_keys(GetKeyStatusResponse(keys=[KeyStatus(key_id="a", configured=True, data_keys=3)])), OK),
        (judge_keys(GetKeyStatusResponse(behind=3)), WARNING),
        (judge_keys(GetKeyStatusResponse(keys=[KeyStatus(key_id="a", data_keys=3)], behind=3)), FAILURE),
        (judge_door(connected=True), OK),
        (judge_door(None), WARNING),
        (judge_door(connected=False), FAILURE),
        (judge_retries([], NOW), OK),
        (judge_refused(0), OK),
        (judge_refused(1), WARNING),
        (judge_workers(199, 200), OK),
        (judge_workers(200, 200), WARNING),
        (judge_memory(10 * GIB, 100 * GIB), OK),
        (judge_memory(9 * GIB, 100 * GIB), WARNING),
        (judge_memory(2 * GIB, 100 * GIB), FAILURE),
        (judge_disk(100 * GIB, 500 * GIB), OK),
        (judge_disk(49 * GIB, 500 * GIB), WARNING),
        (judge_disk(1 * GIB, 4 * GIB), WARNING),
        (judge_disk(499 * MIB, 500 * MIB), FAILURE),
        (judge_python((3, 10)), WARNING),
        (judge_python((3, 13)), OK),
        (judge_python((3, 14)), WARNING),
    ],
)
def test_what_is_found_has_its_level_and_what_is_wrong_has_advice(check: Check, level: int) -> None:
    """B1, B15"""
    assert check.level == level, check.message
    assert check.message
    assert bool(check.advice) == (level != OK)


@pytest.mark.parametrize(
    ("ahead_s", "level"),
    [(0, OK), (1, OK), (-1, OK), (1.1, WARNING), (-10, WARNING), (10.1, FAILURE), (-3600, FAILURE)],
)
def test_clocks_that_are_apart_are_told(ahead_s: float, level: int) -> None:
    """A23"""
    assert judge_clock("clock", "Postgres'", "ours", timedelta(seconds=ahead_s)).level == level


@pytest.mark.parametrize(("moment_s", "ahead_s"), [(0, 0), (2, 0), (1, 0), (-3, -3), (7, 5)])
def test_a_clock_is_wrong_only_by_what_the_question_took_no_time_for(moment_s: int, ahead_s: int) -> None:
    seconds = [NOW + timedelta(seconds=s) for s in (moment_s, 0, 2)]
    assert outside(*seconds) == timedelta(seconds=ahead_s)


@pytest.mark.parametrize(
    ("ahead", "message"),
    [
        ({"registry": 5, "delivery": 0}, "the clock of registry is 5.0 s ahead of the others'"),
        ({"registry": 5, "delivery": 5, "audit": 5}, "the clock of this machine is 5.0 s behind the others'"),
        ({"executor": -5}, "the clock of this machine is 5.0 s ahead of the others'"),
        ({"registry": 0.4, "delivery": -0.4}, "all services' agree with this machine's"),
    ],
)
def test_the_clock_that_is_told_is_the_one_furthest_from_most(ahead: dict[str, float], message: str) -> None:
    assert judge_clocks({whose: timedelta(seconds=s) for whose, s in ahead.items()}).message == message


@pytest.mark.parametrize(("late_s", "level"), [(-60, OK), (60, OK), (61, WARNING)])
def test_a_retry_that_is_late_by_more_than_a_minute_is_told(late_s: int, level: int) -> None:
    due = [
        {"workspace": "acme", "destination": "crm", "due_at_us": int((NOW.timestamp() - late_s) * 1_000_000)},
        {"workspace": "acme", "destination": "other", "due_at_us": int(NOW.timestamp() + 3600) * 1_000_000},
    ]
    assert judge_retries(due, NOW).level == level


def test_the_workspace_that_lacks_most_is_named() -> None:
    check = judge_lag("view", {"acme": 2, "beta": 1200, "gamma": 1}, 5, "wait")
    assert check.message == "the workspace beta is 1,200 facts behind (2 others as well)"


def test_the_stream_that_holds_most_is_named() -> None:
    found = [backlog(1, stream="EVENTS_a"), backlog(700, stream="EVENTS_b")]
    assert judge_backlog("events", found, 500, "wait", refills=True).message == "701 messages waiting, most in EVENTS_b"


def test_a_trail_beyond_its_log_is_a_failure_that_names_the_workspace() -> None:
    assert judge_log({"acme": 5, "beta": 2}, {"acme": 5, "beta": 9}) == []
    (check,) = judge_log({"acme": 7, "gone": 3}, {"acme": 5})
    assert (check.level, check.message) == (FAILURE, "the log of registry lacks 3 facts of gone")


def test_each_degradation_of_the_sandbox_is_told_with_advice_of_its_own() -> None:
    assert [check.level for check in judge_sandbox([])] == [OK]
    found = judge_sandbox(["landlock: [Errno 38] Function not implemented", "parent-death: no"])
    assert [check.level for check in found] == [WARNING, WARNING]
    assert "landlock" in found[0].message
    assert "5.13" in found[0].advice
    assert "docs/operations.md" in found[1].advice


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 kB"), (2048, "2 kB"), (9.44 * MIB, "9.4 MB"), (512 * MIB, "512 MB"), (23 * GIB, "23 GB")]
)
def test_sizes_have_as_many_digits_as_tell_something(count: float, text: str) -> None:
    assert size(count) == text


def test_a_noun_agrees_with_its_number() -> None:
    assert (counted(1, "fact"), counted(2000, "fact")) == ("1 fact", "2,000 facts")


async def test_what_is_applied_while_one_looks_is_no_lag() -> None:
    looks = iter([{"acme": 3}, {"acme": 5}])

    async def positions() -> dict[str, int]:
        return next(looks)

    assert await still_behind({"acme": 5}, positions, poll_s=0) == {}


async def test_what_never_comes_is_lag() -> None:
    async def positions() -> dict[str, int]:
        return {"acme": 3}

    assert await still_behind({"acme": 5, "beta": 1}, positions, patience_s=0) == {"acme": 2, "beta": 1}


# --- what a service answers


async def answered(*probes: Probe) -> pb.GetStatusResponse:
    servicer = StatusServicer("registry", probes, FakeClock(NOW), timeout_s=0)
    context: grpc.aio.ServicerContext[object, object] | None = None
    return await servicer.GetStatus(pb.GetStatusRequest(), context)


async def test_a_probe_that_hangs_or_fails_is_a_failure_and_hides_no_other() -> None:
    async def hang() -> Sequence[Check]:
        await asyncio.Event().wait()
        return []

    async def refuse() -> Sequence[Check]:
        raise Unavailable("The database does not answer.")

    async def break_() -> Sequence[Check]:
        raise ZeroDivisionError

    async def find() -> Sequence[Check]:
        return [ok("fine", "it is"), warning("so-so", "it may be", "look")]

    answer = await answered(
        Probe("hanging", hang, "wait"), Probe("fine", find), Probe("refused", refuse), Probe("broken", break_)
    )
    assert [(check.name, check.level) for check in answer.checks] == [
        ("hanging", FAILURE),
        ("refused", FAILURE),
        ("broken", FAILURE),
        ("so-so", WARNING),
        ("fine", OK),
    ]
    assert answer.checks[0].advice == "wait"
    assert answer.checks[1].message == "The database does not answer."
    assert "ZeroDivisionError" in answer.checks[2].message
    assert all(check.advice for check in answer.checks if check.level != OK)
    assert answer.start_time.ToDatetime(UTC) == answer.current_time.ToDatetime(UTC) == NOW


# --- what the doctor makes of the answers


def found(service: str, **fields: object) -> Found:
    one = Found(Target(service, "127.0.0.1:1", log=f"logs/{service}.log"))
    for name, value in fields.items():
        setattr(one, name, value)
    return one


def told(service: str, *checks: Check) -> Found:
    return found(service, health="SERVING", answer=pb.GetStatusResponse(service=service, checks=checks))


def first(*services: Found) -> Check:
    return judge_services(services, "onward up")[0][1]


def test_a_service_that_is_silent_while_others_answer_has_its_log_named() -> None:
    check = first(found("audit", error=Unavailable("away")), told("registry"))
    assert check.level == FAILURE
    assert "127.0.0.1:1" in check.message
    assert check.advice == "its log says why: logs/audit.log"


def test_where_all_are_silent_everything_is_to_be_started() -> None:
    rows = doctor._merged(judge_services([found("audit"), found("registry")], "onward up --data x"))
    assert [row.where for row in rows] == [["audit", "registry"]]
    assert "`onward up --data x`" in rows[0].check.advice


@pytest.mark.parametrize(
    ("service", "level", "advice"),
    [
        (found("audit", health="NOT_SERVING"), FAILURE, "its log says why"),
        (found("audit", health="SERVING"), WARNING, "--token"),
        (found("audit", health="SERVING", error=InvalidToken("no")), FAILURE, "--token"),
        (found("audit", health="SERVING", error=Unavailable("no")), WARNING, "see to the registry"),
        (found("audit", error=Unavailable("no", metadata={"tls": "refused"})), FAILURE, "--ca"),
    ],
)
def test_a_service_that_does_not_tell_says_what_it_needs(service: Found, level: int, advice: str) -> None:
    check = first(service)
    assert check.level == level
    assert advice in check.advice


def test_the_release_is_known_where_only_the_source_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_installed(name: str) -> str:
        raise PackageNotFoundError(name)

    installed = release.onward_version()
    monkeypatch.setattr(release, "version", not_installed)
    assert release.onward_version() == installed != release.UNKNOWN
    monkeypatch.setattr(release, "PYPROJECT", Path("/nowhere/pyproject.toml"))
    assert release.onward_version() == release.UNKNOWN


def test_the_doctor_takes_the_pythons_that_the_project_takes() -> None:
    project = tomllib.loads(release.PYPROJECT.read_text())["project"]
    least, below = (".".join(map(str, one)) for one in (PYTHON_MIN, PYTHON_BELOW))
    assert project["requires-python"] == f">={least},<{below}"


def test_releases_that_differ_are_told() -> None:
    assert judge_versions({"here": "1.0", "audit": "1.0"}).level == OK
    check = judge_versions({"here": "1.0", "audit": "1.1"})
    assert check.level == WARNING
    assert "here 1.0, audit 1.1" in check.message


def test_without_a_data_folder_and_addresses_the_reader_learns_how_to_begin(tmp_path: Path) -> None:
    checks = {check.name: check for check in local_checks(tmp_path / "none", needed=True)}
    assert checks["data"].level == FAILURE
    assert "onward up" in checks["data"].advice
    assert "data" not in {check.name for check in local_checks(tmp_path / "none", needed=False)}
    assert {check.name for check in local_checks(tmp_path, needed=True)} == {"python", "data", "disk"}


def printed(services: Sequence[Found], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    console = Console(width=80, highlight=False)
    monkeypatch.setattr(output, "console", lambda: console)
    checks = judge_services(services, "onward up")
    checks.sort(key=lambda pair: -pair[1].level)
    doctor._print(services, checks)
    return capsys.readouterr().out


def test_what_several_say_is_one_row_and_the_worst_stands_first(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    same = warning("durability", "relaxed: a power failure may cost acknowledged events", "set sync_interval: always")
    services = [
        told("registry", ok("nats", "nats-server 2.15.1"), same, ok("database", "9 MB")),
        told("audit", ok("nats", "nats-server 2.15.1"), same, failure("clock", "off [red] \x1b[2J", "ntp")),
    ]
    lines = [line.rstrip() for line in printed(services, capsys, monkeypatch).splitlines() if line.strip()]
    assert max(map(len, lines)) <= 80
    assert lines[2].split()[:3] == ["failure", "audit", "clock"]
    # What came from elsewhere is shown, and does nothing.
    assert "off [red] \\x1b[2J" in lines[2]
    assert lines[3].strip() == "→ ntp"
    assert lines[4].split()[:3] == ["warning", "all", "durability"]
    assert sum("nats-server" in line for line in lines) == 1
    assert lines[-1] == "2 services run; 1 failure and 1 warning: see the top."


def test_where_nothing_is_wrong_the_last_line_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert printed([told("registry")], capsys, monkeypatch).endswith("1 service runs, and nothing is wrong.\n")


def test_storage_tells_the_largest_tables_and_the_oldest_day() -> None:
    tables = [
        {"table": "due", "bytes": 5 << 10, "day": None},
        {"table": "numbers", "bytes": 7 << 20, "day": None},
        {"table": "attempts", "bytes": 2 << 30, "day": "20260201"},
        {"table": "seen_events", "bytes": 1 << 20, "day": "20260101"},
        {"table": "attempt_details", "bytes": 9 << 30, "day": "20260201"},
    ]
    told = "attempt_details 9.0 GB, attempts 2.0 GB, numbers 7.0 MB, seen_events 1.0 MB; attempts since 2026-02-01"
    assert judge_storage(tables).message == told
