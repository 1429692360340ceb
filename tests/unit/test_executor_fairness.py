"""Who may compute where cores are short."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from kit.clock import FakeClock
from services.executor.handlers.fairness import (
    COMPUTING_LOOKS,
    EVENT_CPU_S,
    LOOK_S,
    NICENESS,
    RESTED_LOOKS,
    SLICE_S,
    CpuShares,
    Share,
)


@dataclass(eq=False)
class Lane:
    """A lane as far as shares know it."""

    workspace: str
    resumed: int = 0
    computes: bool = False
    pid: int = 0
    share: Share = field(init=False)

    def resume(self) -> None:
        self.resumed += 1


class Machine:
    """Two cores, on which each lane's worker uses what the test says."""

    def __init__(self, *, idle: float = 1.0) -> None:
        self.clock = FakeClock()
        self.used_ns: dict[int, int] = {}
        self.niceness: dict[int, int] = {}
        self.idle = idle
        self.may_renice = True
        self.shares = CpuShares(
            self.clock,
            cores=2,
            cpu_ns=lambda pid: self.used_ns.get(pid, 0),
            renice=self._renice,
            idle=lambda: self.idle,
        )
        self._pid = 0

    def _renice(self, pid: int, niceness: int) -> bool:
        if not self.may_renice:
            return False
        self.niceness[pid] = niceness
        return True

    def lane(self, workspace: str) -> Lane:
        lane = Lane(workspace)
        lane.share = self.shares.add(lane)
        self.start(lane)
        return lane

    def start(self, lane: Lane) -> None:
        self._pid += 1
        lane.pid = self._pid
        self.shares.started(lane.share, self._pid, lambda: lane.computes)

    def use(self, lane: Lane, cores: float, seconds: float = LOOK_S) -> None:
        self.used_ns[lane.pid] = self.used_ns.get(lane.pid, 0) + int(cores * seconds * 1e9)

    def pass_time(self, uses: dict[Lane, float], looks: int = 20) -> None:
        for _ in range(looks):
            self.clock.advance(LOOK_S)
            for lane, cores in uses.items():
                lane.computes = cores > 0
                self.use(lane, cores)
            self.shares.look()


def test_nobody_waits_while_there_are_cores_to_spare() -> None:
    machine = Machine()
    lanes = [machine.lane("acme") for _ in range(20)]
    machine.pass_time(dict.fromkeys(lanes, 0.05))
    assert all(machine.shares.enter(lane.share) for lane in lanes)


def _greedy(machine: Machine, count: int = 20, workspace: str = "greedy") -> list[Lane]:
    lanes = [machine.lane(workspace) for _ in range(count)]
    machine.pass_time(dict.fromkeys(lanes, 2.0 / count))
    return lanes


def test_a_hundred_destinations_that_compute_leave_a_core_to_the_one_of_another_workspace() -> None:
    machine = Machine()
    one = machine.lane("other")
    many = [machine.lane("greedy") for _ in range(100)]
    machine.pass_time({**dict.fromkeys(many, 0.019), one: 0.1})
    assert machine.shares.enter(one.share)
    entered = [lane for lane in many if machine.shares.enter(lane.share)]
    # The kernel shares two cores among four of them and the other one, which is one of five, and not niced.
    assert len(entered) == 4
    assert (machine.shares.waiting, machine.shares.waits) == (96, 96)


def test_two_workspaces_that_want_everything_have_a_core_each() -> None:
    machine = Machine()
    one, many = machine.lane("one"), [machine.lane("many") for _ in range(10)]
    machine.pass_time({**dict.fromkeys(many, 0.1), one: 1.0})
    entered = [lane for lane in [*many, one] if machine.shares.enter(lane.share)]
    assert entered[-1] is one
    # Those of many's that held slots before anybody else asked give them back first.
    for lane in entered[:-1]:
        machine.shares.leave(lane.share)
    assert sum(lane.share.holds for lane in many) == 1


def test_a_slot_goes_to_whoever_waits_for_longest() -> None:
    machine = Machine()
    lanes = _greedy(machine)
    entered = [lane for lane in lanes if machine.shares.enter(lane.share)]
    first_waiting = next(lane for lane in lanes if lane not in entered)
    machine.shares.leave(entered[0].share)
    assert first_waiting.resumed == 1
    assert machine.shares.enter(first_waiting.share)
    assert not machine.shares.enter(entered[0].share)


def test_a_slice_that_is_used_up_ends_only_where_others_wait() -> None:
    machine = Machine()
    lanes = _greedy(machine)
    holder = next(lane for lane in lanes if machine.shares.enter(lane.share))
    machine.use(holder, 1.0, SLICE_S * 2)
    machine.shares.look_at_holders(0.01)
    assert machine.shares.enter(holder.share)
    for lane in lanes:
        machine.shares.enter(lane.share)
    assert not machine.shares.enter(holder.share)


def test_a_slot_of_one_that_waits_for_an_api_goes_to_others() -> None:
    machine = Machine()
    lanes = _greedy(machine)
    entered = [lane for lane in lanes if machine.shares.enter(lane.share)]
    for _ in range(2):
        for lane in entered[1:]:
            machine.use(lane, 0.5, 0.01)
        machine.shares.look_at_holders(0.01)
    assert not entered[0].share.holds
    assert sum(lane.resumed for lane in lanes) == 1


def test_who_was_refused_more_with_a_slot_asks_again_when_the_slot_is_gone() -> None:
    """Or what it has queued would wait for its next event."""
    machine = Machine()
    lanes = _greedy(machine)
    entered = [lane for lane in lanes if machine.shares.enter(lane.share)]
    holder = entered[0]
    machine.use(holder, 1.0, SLICE_S * 2)
    machine.shares.look_at_holders(0.01)
    assert not machine.shares.enter(holder.share)
    for _ in range(2):
        for lane in entered[1:]:
            machine.use(lane, 0.5, 0.01)
        machine.shares.look_at_holders(0.01)
    assert (holder.share.holds, holder.resumed) == (False, 1)
    assert not machine.shares.enter(holder.share)
    assert holder.share.waits


def test_who_wanted_nothing_more_is_not_asked_when_its_slot_is_gone() -> None:
    machine = Machine()
    lanes = _greedy(machine)
    holder = next(lane for lane in lanes if machine.shares.enter(lane.share))
    machine.shares.leave(holder.share)
    assert holder.resumed == 0


def test_workspaces_without_slots_are_forgotten() -> None:
    machine = Machine()
    for number in range(3):
        (lane, *_) = _greedy(machine, workspace=f"w{number}")
        machine.shares.enter(lane.share)
        machine.shares.leave(lane.share)
        machine.pass_time({}, looks=200)
    assert len(machine.shares._holders) == 0


def test_those_who_wait_go_on_when_cores_are_free_again() -> None:
    machine = Machine()
    lanes = _greedy(machine)
    waiting = [lane for lane in lanes if not machine.shares.enter(lane.share)]
    machine.pass_time({}, looks=1)
    assert all(lane.resumed for lane in waiting)
    assert machine.shares.waiting == 0
    assert all(machine.shares.enter(lane.share) for lane in waiting)


def test_a_destination_of_the_same_workspace_that_uses_little_does_not_wait() -> None:
    machine = Machine()
    small = machine.lane("greedy")
    large = [machine.lane("greedy") for _ in range(10)]
    machine.pass_time({**dict.fromkeys(large, 0.19), small: 0.01})
    assert machine.shares.enter(small.share)
    assert sum(machine.shares.enter(lane.share) for lane in large) == 4


def test_cores_are_short_as_well_where_others_of_the_machine_use_them() -> None:
    machine = Machine(idle=0.05)
    lanes = [machine.lane("acme") for _ in range(20)]
    machine.pass_time(dict.fromkeys(lanes, 0.01))
    assert machine.shares.contended
    assert sum(machine.shares.enter(lane.share) for lane in lanes) == 4


def test_a_destination_that_is_gone_waits_no_more_and_its_slot_is_free() -> None:
    machine = Machine()
    lanes = _greedy(machine)
    entered = [lane for lane in lanes if machine.shares.enter(lane.share)]
    waiting = [lane for lane in lanes if lane not in entered]
    machine.shares.remove(waiting[0].share)
    machine.shares.remove(entered[0].share)
    assert (waiting[0].resumed, waiting[1].resumed) == (0, 1)


def test_what_computes_all_the_time_steps_back_and_comes_to_the_front_when_it_has_rested() -> None:
    machine = Machine()
    heavy, light = machine.lane("acme"), machine.lane("acme")
    machine.pass_time({heavy: 0.9, light: 0.1}, looks=1)
    assert machine.niceness == {heavy.pid: NICENESS}
    machine.pass_time({heavy: 0.0}, looks=RESTED_LOOKS)
    assert machine.niceness[heavy.pid] == 0


def test_what_was_seen_computing_at_each_look_steps_back_where_cores_are_short() -> None:
    machine = Machine(idle=0.0)
    heavy = machine.lane("acme")
    machine.pass_time({heavy: 0.05}, looks=COMPUTING_LOOKS - 1)
    assert machine.niceness == {}
    machine.pass_time({heavy: 0.05}, looks=1)
    assert machine.niceness == {heavy.pid: NICENESS}


def test_the_next_worker_of_a_destination_that_used_much_begins_behind_the_others() -> None:
    machine = Machine()
    heavy = machine.lane("acme")
    machine.pass_time({heavy: 0.9}, looks=10)
    machine.shares.ended(heavy.share, heavy.pid)
    machine.start(heavy)
    assert machine.niceness[heavy.pid] == NICENESS


def test_all_workers_of_a_destination_count_until_they_are_gone() -> None:
    machine = Machine()
    lane = machine.lane("acme")
    first = lane.pid
    machine.start(lane)
    machine.used_ns[first] = int(0.04e9)
    machine.pass_time({lane: 0.2}, looks=1)
    assert lane.share.rate == pytest.approx(0.6)
    machine.shares.ended(lane.share, lane.pid)
    machine.used_ns[first] += int(0.03e9)
    machine.clock.advance(LOOK_S)
    machine.shares.look()
    assert lane.share.rate == pytest.approx(0.3)


def test_a_slot_is_kept_where_another_worker_of_the_destination_ends() -> None:
    machine = Machine()
    lanes = _greedy(machine)
    holder = next(lane for lane in lanes if machine.shares.enter(lane.share))
    last = holder.pid
    machine.start(holder)
    machine.shares.ended(holder.share, last)
    assert holder.share.holds
    machine.shares.ended(holder.share, holder.pid)
    assert not holder.share.holds


def test_where_the_kernel_refuses_niceness_nothing_else_changes() -> None:
    machine = Machine()
    machine.may_renice = False
    lanes = _greedy(machine)
    assert sum(machine.shares.enter(lane.share) for lane in lanes) == 4


@pytest.mark.parametrize(("event_cpu_us", "batch"), [(5, 128), (200, 128), (1_000, 50), (10_000, 5), (900_000, 1)])
def test_a_batch_is_no_larger_than_a_slice_of_time(event_cpu_us: int, batch: int) -> None:
    share = Share(Lane("acme"), 0.0)
    assert share.batch_max(128) == min(128, int(0.05 / EVENT_CPU_S))
    for _ in range(60):
        share.note(event_cpu_us)
    assert share.batch_max(128) == pytest.approx(batch, abs=1)
    assert share.in_flight_max(256) == pytest.approx(max(2, min(256, 1_000_000 // event_cpu_us)), abs=1)
