"""Many events beside a few: how far the many are held back."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest

from kit.bus.message import Message
from kit.bus.streams import EXECUTOR_ACK_WAIT_S
from kit.clock import FakeClock
from services.executor.app import PULL_EVENTS
from services.executor.consumers import floods as floods_module
from services.executor.consumers.floods import (
    GROWTH_S,
    IDLE_SHARE_MIN,
    LATELY_S,
    LOOK_S,
    MANY_PER_S,
    PART_CROWDED,
    PAUSE_MAX_S,
    SPIKE_PAUSE_MAX_S,
    SPIKE_PER_S,
    SPIKE_PULL,
    SPIKE_S,
    Floods,
    MachineIdle,
)
from services.executor.consumers.tickets import (
    PROGRESS_INTERVAL_S,
    STREAM_MIN,
    YOUNG_CROWDED_MAX,
    YOUNG_MIN,
    Tickets,
)

# In one look.
MANY = round(MANY_PER_S * LOOK_S)


class Machine:
    """How busy it is."""

    idle = 1.0
    turn_s = 0.0
    asked = 0

    def idle_share(self) -> float:
        self.asked += 1
        return self.idle


class Watched(Floods):
    """A look takes no time, and turns of the event loop what a test says."""

    def __init__(self, clock: FakeClock, machine: Machine) -> None:
        super().__init__(clock, machine.idle_share)
        self.machine = machine

    async def _turn_s(self) -> float:
        await asyncio.sleep(0)
        return self.machine.turn_s


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def floods(clock: FakeClock, machine: Machine) -> Watched:
    return Watched(clock, machine)


def pull(count: int, *, first: int = 1, pending: int = 0, delivered: int = 1, arrived_at: float = 0.0) -> list[Message]:
    return [
        Message.build(
            "events.any.web", b"{}", stream_seq=number, pending=pending, delivered=delivered, arrived_at=arrived_at
        )
        for number in range(first, first + count)
    ]


def bring(floods: Floods, stream: str, messages: list[Message]) -> list[int]:
    """How large the parts are."""
    return [len(part) for part in floods.parts(stream, messages)]


async def looks(floods: Floods, count: int) -> None:
    for _ in range(count):
        await floods.watch()


async def test_a_flood_is_taken_in_parts_with_pauses_while_others_have_a_few_events(
    clock: FakeClock, machine: Machine, floods: Watched
) -> None:
    messages = pull(500)
    assert bring(floods, "large", messages) == [500]
    assert floods.pause_s("large") == 0
    bring(floods, "small", messages[:1])
    parts = list(floods.parts("large", messages))
    assert [len(part) for part in parts[:-1]] == [PART_CROWDED] * (len(parts) - 1)
    assert [one for part in parts for one in part] == messages
    # No look has been yet.
    assert floods.pause_s("large") == PAUSE_MAX_S
    assert floods.pause_s("small") == 0
    await looks(floods, 30)
    assert floods.pause_s("large") == 0
    machine.turn_s = 1.0
    await looks(floods, 1)
    assert floods.pause_s("large") == PAUSE_MAX_S
    assert floods.pause_s("small") == 0
    clock.advance(LATELY_S)
    await looks(floods, 1)
    assert floods.pause_s("large") == 0
    assert bring(floods, "large", messages) == [500]


@pytest.mark.parametrize(("turn_s", "idle", "held"), [(0.0, 1.0, False), (1.0, 1.0, True), (0.0, 0.0, True)])
async def test_pauses_are_as_long_as_the_event_loop_and_the_machine_need_them(
    machine: Machine, floods: Watched, turn_s: float, idle: float, held: bool
) -> None:
    machine.turn_s, machine.idle = turn_s, idle
    bring(floods, "small", pull(1))
    bring(floods, "large", pull(MANY))
    await looks(floods, 30)
    assert floods.pause_s("large") == (PAUSE_MAX_S if held else 0)
    machine.turn_s, machine.idle = 0.0, IDLE_SHARE_MIN
    bring(floods, "small", pull(1))
    bring(floods, "large", pull(MANY))
    await looks(floods, 1)
    assert floods.pause_s("large") == (pytest.approx(0.8 * PAUSE_MAX_S) if held else 0)


async def test_a_flood_is_one_by_what_it_brings_in_a_while_and_two_of_them_do_not_wait_for_each_other(
    machine: Machine, floods: Watched
) -> None:
    machine.turn_s = 1.0
    few = pull(MANY // 2)
    for stream in ("a", "b"):
        bring(floods, stream, few)
        bring(floods, stream, few)
    await looks(floods, 1)
    assert bring(floods, "a", few) == [len(few)]
    assert floods.pause_s("a") == 0
    bring(floods, "small", few)
    assert len(bring(floods, "a", few)) > 1
    # A flood that ebbs stays one for a while.
    bring(floods, "b", few[:1])
    await looks(floods, 1)
    assert bring(floods, "small", few) == [len(few)]


async def test_what_is_less_than_a_flood_is_none(floods: Watched, machine: Machine) -> None:
    machine.turn_s = 1.0
    bring(floods, "small", pull(1))
    for _ in range(4):
        assert len(bring(floods, "large", pull(MANY - 1))) > 1
        assert floods.pause_s("large") == 0
        await looks(floods, 1)


def spike(floods: Watched, clock: FakeClock, *, grown: int = 0, passed_s: float = GROWTH_S) -> None:
    """Has a stream grow so much, while hardly anything of it is taken."""
    grown = grown or round(SPIKE_PER_S * passed_s)
    known = floods._growth.get("wild")
    number = 1 if known is None else known.last + 1
    bring(floods, "wild", pull(1, first=number, arrived_at=clock.monotonic()))
    clock.advance(passed_s)
    bring(floods, "wild", pull(1, first=number + 1, pending=grown - 1, arrived_at=clock.monotonic()))


def spike_that_ended(floods: Watched, clock: FakeClock) -> None:
    """Has a stream be a spike that grows no more, beside another with a few messages."""
    bring(floods, "small", pull(1))
    spike(floods, clock)
    clock.advance(LATELY_S)
    bring(floods, "small", pull(1))
    bring(floods, "wild", pull(MANY))


async def test_of_a_spike_hardly_anything_is_taken_while_the_machine_is_busy(
    clock: FakeClock, machine: Machine, floods: Watched
) -> None:
    machine.idle = 0.0
    bring(floods, "small", pull(1))
    spike(floods, clock, passed_s=GROWTH_S, grown=round(SPIKE_PER_S * GROWTH_S) - 1)
    assert floods.pause_s("wild") == 0
    spike(floods, clock)
    assert floods.pause_s("wild") == SPIKE_PAUSE_MAX_S
    # It is one however little is taken of it, and a while longer than is seen of it.
    for _ in range(3):
        clock.advance(LATELY_S - GROWTH_S - 1)
        bring(floods, "small", pull(1))
        spike(floods, clock)
        await looks(floods, 1)
        assert floods.pause_s("wild") == SPIKE_PAUSE_MAX_S
    machine.idle = 1.0
    await looks(floods, 1)
    assert floods.pause_s("wild") == pytest.approx(0.8 * SPIKE_PAUSE_MAX_S)
    await looks(floods, 40)
    assert floods.pause_s("wild") == 0
    # Of what was taken freely the first that is too much makes a flood's pauses; twice as long from look to look.
    machine.idle = 0.0
    await looks(floods, 1)
    assert floods.pause_s("wild") == PAUSE_MAX_S
    await looks(floods, 6)
    assert floods.pause_s("wild") == SPIKE_PAUSE_MAX_S


def taken_per_s(floods: Floods, stream: str) -> float:
    """What a stream's pauses let through."""
    part = min(PART_CROWDED, floods.pull_max(stream, PULL_EVENTS))
    return part / floods.pause_s(stream)


async def test_more_and_more_is_taken_of_a_spike_and_never_much_more_at_once(
    clock: FakeClock, machine: Machine, floods: Watched
) -> None:
    machine.idle = 0.0
    bring(floods, "small", pull(1))
    spike(floods, clock)
    machine.idle = 1.0
    rates = [taken_per_s(floods, "wild")]
    while floods.pause_s("wild"):
        rates.append(taken_per_s(floods, "wild"))
        await looks(floods, 1)
    assert rates[0] == SPIKE_PULL / SPIKE_PAUSE_MAX_S
    assert rates[-1] > 10 * PART_CROWDED / PAUSE_MAX_S
    assert all(after <= 1.26 * before for before, after in pairwise(rates))


async def test_what_was_a_spike_goes_on_as_a_flood_that_pauses_however_it_was_held(
    clock: FakeClock, machine: Machine, floods: Watched
) -> None:
    machine.idle = 0.0
    spike_that_ended(floods, clock)
    assert floods.pause_s("wild") == PAUSE_MAX_S
    assert floods.pull_max("wild", PULL_EVENTS) == PULL_EVENTS
    # No more is left of it than a flood may be held.
    machine.idle = 1.0
    await looks(floods, 1)
    assert floods.pause_s("wild") == pytest.approx(0.8 * PAUSE_MAX_S)


async def test_a_flood_beside_a_spike_is_held_as_a_flood(clock: FakeClock, machine: Machine, floods: Watched) -> None:
    machine.idle = 0.0
    bring(floods, "small", pull(1))
    spike(floods, clock)
    bring(floods, "large", pull(MANY))
    assert floods.pause_s("large") == PAUSE_MAX_S
    assert floods.pause_s("wild") == SPIKE_PAUSE_MAX_S


async def test_a_spike_is_seen_as_soon_as_the_stream_has_grown_by_as_much(clock: FakeClock, floods: Watched) -> None:
    bring(floods, "small", pull(1))
    spike(floods, clock, grown=round(SPIKE_PER_S * GROWTH_S), passed_s=GROWTH_S / 10)
    assert floods.pause_s("wild") == SPIKE_PAUSE_MAX_S


async def test_a_spike_is_seen_however_often_the_stream_is_looked_at(clock: FakeClock, floods: Watched) -> None:
    bring(floods, "small", pull(1))
    for step in range(12):
        pending = round(step * SPIKE_PER_S * GROWTH_S / 10)
        bring(floods, "wild", pull(1, first=1 + step, pending=pending, arrived_at=clock.monotonic()))
        clock.advance(GROWTH_S / 10)
    assert floods.pause_s("wild") == SPIKE_PAUSE_MAX_S


async def test_a_flood_that_becomes_a_spike_pauses_at_once(clock: FakeClock, floods: Watched) -> None:
    bring(floods, "small", pull(1))
    await looks(floods, 1)
    bring(floods, "wild", pull(MANY))
    assert floods.pause_s("wild") == PAUSE_MAX_S
    await looks(floods, 30)
    assert floods.pause_s("wild") == 0
    spike(floods, clock)
    assert floods.pause_s("wild") == SPIKE_PAUSE_MAX_S


async def test_much_in_a_long_time_is_no_spike(clock: FakeClock, floods: Watched) -> None:
    bring(floods, "small", pull(1))
    spike(floods, clock, grown=2 * SPIKE_PER_S, passed_s=LATELY_S / 2)
    assert floods.pause_s("wild") == 0


async def test_a_spike_that_was_published_is_an_ordinary_flood(
    clock: FakeClock, machine: Machine, floods: Watched
) -> None:
    machine.idle = 0.0
    spike_that_ended(floods, clock)
    await looks(floods, 1)
    assert floods.pause_s("wild") == PAUSE_MAX_S


async def test_no_spike_is_held_for_ever(clock: FakeClock, machine: Machine, floods: Watched) -> None:
    machine.idle = 0.0
    bring(floods, "small", pull(1))
    spike(floods, clock)
    began = clock.monotonic()
    held: list[float] = []
    while clock.monotonic() < began + 2 * SPIKE_S:
        held.append(floods.pause_s("wild"))
        clock.advance(1.0)
        bring(floods, "small", pull(1))
        bring(floods, "wild", pull(MANY, first=floods._growth["wild"].last + 1))
        spike(floods, clock)
        await looks(floods, 1)
    assert held.count(SPIKE_PAUSE_MAX_S) == pytest.approx(SPIKE_S / (1 + GROWTH_S), abs=1)
    assert held[-1] == PAUSE_MAX_S
    # Then the next one may be held.
    clock.advance(1.0)
    bring(floods, "small", pull(1))
    spike(floods, clock)
    assert floods.pause_s("wild") == SPIKE_PAUSE_MAX_S


async def test_a_pull_that_had_to_wait_tells_of_when_it_arrived(clock: FakeClock, floods: Watched) -> None:
    """A thousand a second: what arrived four seconds apart is taken at once after another."""
    bring(floods, "small", pull(1))
    clock.advance(8.0)
    for place in range(3):
        bring(floods, "wild", pull(1, first=place + 1, pending=4_000 * place, arrived_at=4.0 * place))
        clock.advance(GROWTH_S)
        assert floods.pause_s("wild") == 0


async def test_a_pull_that_comes_again_may_be_the_first_of_a_flood(floods: Watched) -> None:
    bring(floods, "small", pull(1))
    bring(floods, "large", pull(MANY, delivered=2))
    assert floods.pause_s("large") == PAUSE_MAX_S


async def test_nothing_pauses_that_is_to_be_taken_before_the_end(floods: Watched) -> None:
    bring(floods, "small", pull(1))
    bring(floods, "large", pull(MANY))
    assert floods.pause_s("large") == PAUSE_MAX_S
    floods.release()
    assert floods.pause_s("large") == 0


async def test_a_pause_ends_when_all_is_to_be_taken(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock, floods: Watched
) -> None:
    monkeypatch.setattr(floods_module, "SPIKE_PAUSE_MAX_S", 1000.0)
    bring(floods, "small", pull(1))
    spike(floods, clock)
    pausing = asyncio.create_task(floods.pause("wild", pull(10), pull(10)))
    await asyncio.sleep(0)
    assert not pausing.done()
    floods.release()
    await pausing


def test_nothing_waits_so_long_for_a_spike_that_it_is_given_to_others() -> None:
    # A pull that is being taken, and two that were requested; however large they are, each pauses for as long.
    delivered_to_taken_s = 3 * SPIKE_PAUSE_MAX_S
    assert delivered_to_taken_s + 2 * PROGRESS_INTERVAL_S + LOOK_S < EXECUTOR_ACK_WAIT_S


async def test_what_comes_again_says_nothing_of_how_far_the_stream_goes(clock: FakeClock, floods: Watched) -> None:
    bring(floods, "small", pull(1))
    for place, delivered in ((100_000, 1), (50, 2), (100_001, 1)):
        bring(floods, "wild", pull(1, first=place, delivered=delivered, arrived_at=clock.monotonic()))
        clock.advance(1.0)
    assert floods.pause_s("wild") == 0


async def test_a_spike_pauses_at_once_when_others_begin_to_have_a_few(
    clock: FakeClock, machine: Machine, floods: Watched
) -> None:
    spike(floods, clock)
    await looks(floods, 1)
    assert floods.pause_s("wild") == 0
    bring(floods, "small", pull(1))
    assert floods.pause_s("wild") == SPIKE_PAUSE_MAX_S


async def paused_s(
    floods: Floods, stream: str, count: int, monkeypatch: pytest.MonkeyPatch, pulled: int = PULL_EVENTS
) -> list[float]:
    slept: list[float] = []

    def timeout(seconds: float) -> asyncio.Timeout:
        slept.append(seconds)
        return asyncio.Timeout(0)

    with monkeypatch.context() as patched:
        patched.setattr(asyncio, "timeout", timeout)
        await floods.pause(stream, pull(count), pull(pulled))
    return slept


async def test_what_begins_anew_pauses_at_once(clock: FakeClock, machine: Machine, floods: Watched) -> None:
    bring(floods, "small", pull(1))
    bring(floods, "large", pull(MANY))
    await looks(floods, 30)
    assert floods.pause_s("large") == 0
    # Another flood.
    bring(floods, "larger", pull(MANY))
    assert floods.pause_s("large") == PAUSE_MAX_S
    await looks(floods, 30)
    assert floods.pause_s("large") == 0
    # Others, after a while without them, in which nobody asks how busy the machine is.
    clock.advance(LATELY_S)
    bring(floods, "large", pull(MANY))
    asked = machine.asked
    await looks(floods, 3)
    assert machine.asked - asked == 0
    bring(floods, "small", pull(1))
    assert floods.pause_s("large") == PAUSE_MAX_S


async def test_a_pause_is_as_long_as_the_part_is_large(monkeypatch: pytest.MonkeyPatch, floods: Watched) -> None:
    bring(floods, "small", pull(1))
    bring(floods, "large", pull(MANY))
    assert await paused_s(floods, "small", PART_CROWDED, monkeypatch) == []
    assert await paused_s(floods, "large", PART_CROWDED, monkeypatch) == [PAUSE_MAX_S]
    assert await paused_s(floods, "large", PART_CROWDED // 4, monkeypatch) == [PAUSE_MAX_S / 4]
    assert await paused_s(floods, "large", 2 * PART_CROWDED, monkeypatch) == [PAUSE_MAX_S]


@pytest.mark.parametrize(("part", "pulled", "share"), [(PART_CROWDED, 512, 1 / 8), (10, 10, 1.0), (1, 20, 0.05)])
async def test_of_a_spike_one_pull_is_taken_a_second(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock, floods: Watched, part: int, pulled: int, share: float
) -> None:
    bring(floods, "small", pull(1))
    spike(floods, clock)
    assert await paused_s(floods, "wild", part, monkeypatch, pulled) == [pytest.approx(share * SPIKE_PAUSE_MAX_S)]


async def test_large_pulls_of_a_spike_are_taken_no_sooner_than_those_of_a_flood(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock, machine: Machine, floods: Watched
) -> None:
    bring(floods, "small", pull(1))
    spike(floods, clock)
    await looks(floods, 17)
    assert PAUSE_MAX_S / 2 < floods.pause_s("wild") < PAUSE_MAX_S
    assert await paused_s(floods, "wild", PART_CROWDED, monkeypatch) == [PAUSE_MAX_S]
    assert await paused_s(floods, "wild", SPIKE_PULL, monkeypatch, SPIKE_PULL) == [
        pytest.approx(floods.pause_s("wild"))
    ]
    # One that is held less than a flood may be pauses as any flood.
    await looks(floods, 10)
    assert 0 < floods.pause_s("wild") < PAUSE_MAX_S / 2
    assert await paused_s(floods, "wild", PART_CROWDED, monkeypatch) == [pytest.approx(floods.pause_s("wild"))]


async def test_pulls_of_a_spike_are_small_while_it_pauses(clock: FakeClock, floods: Watched) -> None:
    bring(floods, "small", pull(1))
    bring(floods, "large", pull(MANY))
    spike(floods, clock)
    known = [floods.pull_max(stream, PULL_EVENTS) for stream in ("wild", "large", "small", "unknown")]
    assert known == [SPIKE_PULL, PULL_EVENTS, PULL_EVENTS, PULL_EVENTS]
    assert floods.pull_max("wild", SPIKE_PULL - 1) == SPIKE_PULL - 1
    await looks(floods, 18)
    assert floods.pull_max("wild", PULL_EVENTS) == SPIKE_PULL
    # Now it is held no more than a flood.
    await looks(floods, 1)
    assert floods.pause_s("wild") > 0
    assert floods.pull_max("wild", PULL_EVENTS) == PULL_EVENTS


class NoBus:
    connected = True


async def test_little_is_held_of_a_flood_that_must_pause(clock: FakeClock, floods: Watched) -> None:
    tickets = Tickets(cast(Any, NoBus()), clock, floods)
    tickets._window = YOUNG_MIN + YOUNG_CROWDED_MAX
    bring(floods, "large", pull(MANY))
    for stream in ("large", "small", "DUE"):
        for message in pull(STREAM_MIN):
            tickets.take(message, stream)
    streams = ("large", "small", "DUE")
    assert [tickets.has_room(stream) for stream in streams] == [True, True, True]
    bring(floods, "small", pull(1))
    assert [tickets.has_room(stream) for stream in streams] == [False, True, True]


@asynccontextmanager
async def busy(clock: FakeClock) -> AsyncIterator[None]:
    """Each turn of the event loop takes half a second, by a clock that stands still otherwise."""

    async def work() -> None:
        while True:
            clock.advance(0.5)
            await asyncio.sleep(0)

    working = asyncio.ensure_future(work())
    try:
        yield
    finally:
        working.cancel()


async def test_how_long_a_turn_takes_is_measured(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> None:
    monkeypatch.setattr(floods_module, "LOOK_S", 0.01)
    floods = Floods(clock)
    async with busy(clock):
        assert await floods._turn_s() == 0
        bring(floods, "large", pull(MANY_PER_S))
        assert await floods._turn_s() == pytest.approx(0.5, rel=0.1)


def test_the_machine_says_what_it_has_left_over(tmp_path: Path) -> None:
    uptime, cpus = tmp_path / "uptime", os.cpu_count() or 1
    uptime.write_text(f"1000.00 {500.0 * cpus:.2f}\n")
    idle = MachineIdle(uptime)
    assert idle() == pytest.approx(0.5)
    uptime.write_text(f"1010.00 {502.5 * cpus:.2f}\n")
    assert idle() == pytest.approx(0.25)
    assert idle() == 0


@pytest.mark.parametrize("said", [None, "", "1000.00 0.00\n", "up"])
def test_a_system_that_does_not_say_counts_as_idle(tmp_path: Path, said: str | None) -> None:
    if said is not None:
        (tmp_path / "uptime").write_text(said)
    assert MachineIdle(tmp_path / "uptime")() == 1
