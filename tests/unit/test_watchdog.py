"""When the executor steps in for a worker's own watchdog; time is the test's."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from services.executor.runtime.jobs import Limits
from services.executor.runtime.pump import BEATS_AT
from services.executor.runtime.watchdog import CLOSER_LOOKS, LOOK_S, Watchdog

WALL_S, CPU_S = 5.0, 1.0
# What a kill may be late after the limit.
LATE_S = 0.25
# So many may hold up one another that the worker is left alone for a minute.
MANY = 10_000


@dataclass
class Patient:
    """A worker as its watchdog sees it. Each step is one look; `now` begins with its attempt."""

    running: int = 1
    beats: int = 0
    cpu_s: float = 0.0
    waited_s: float = 0.0
    now: float = 0.0
    jobs: int = 1
    outcome_s: float = 0.0
    watchdog: Watchdog = field(init=False)

    def __post_init__(self) -> None:
        limits = Limits(wall_ms=int(WALL_S * 1000), cpu_ms=int(CPU_S * 1000))
        self.watchdog = Watchdog(self, limits, lambda: self.cpu_s, lambda: self.waited_s)

    def __getitem__(self, index: slice) -> bytes:
        page = struct.pack("<i", self.running).ljust(BEATS_AT, b"\0") + struct.pack("<I", self.beats % 2**32)
        return page[index]

    def killed_after(self, *, cpu: float = 0.0, waited: float = 0.0, beats: int = 0, until: float = 60) -> float | None:
        """Run with so much CPU time, waiting and beats in each second, until killed; None for not by then."""
        carried = 0.0
        while self.now < until:
            self.now += LOOK_S
            self.cpu_s += cpu * LOOK_S
            self.waited_s += waited * LOOK_S
            carried += beats * LOOK_S
            self.beats += int(carried)
            carried %= 1
            if self.watchdog.overdue(self.now, self.jobs, self.outcome_s):
                return self.now
        return None


def test_an_attempt_that_holds_up_the_watchdog_of_its_worker_is_killed_at_its_cpu_time() -> None:
    killed = Patient().killed_after(cpu=1)
    assert killed is not None
    assert CPU_S <= killed <= CPU_S + LATE_S


def test_a_worker_that_stands_still_is_killed_at_the_wall_time() -> None:
    for running in (0, 1, -1):
        killed = Patient(running).killed_after()
        assert killed is not None
        assert WALL_S <= killed <= WALL_S + LATE_S


def test_a_worker_whose_watchdog_works_is_left_to_it() -> None:
    assert Patient(jobs=MANY).killed_after(cpu=1, beats=50) is None


def test_the_attempt_of_a_starved_worker_keeps_its_time() -> None:
    """It got a tenth of a CPU: nothing is known of it until it has had its own second."""
    killed = Patient(jobs=MANY).killed_after(cpu=0.1, waited=0.9)
    assert killed is not None
    assert CPU_S / 0.1 <= killed <= CPU_S / 0.1 + LATE_S
    assert Patient(jobs=MANY).killed_after(cpu=0, waited=1) is None


def test_time_begins_anew_with_another_event_of_the_batch() -> None:
    patient = Patient(jobs=MANY)
    for running in range(1, 20):
        patient.running = running
        for _ in range(16):
            patient.now += LOOK_S
            patient.cpu_s += LOOK_S
            assert not patient.watchdog.overdue(patient.now, patient.jobs, patient.outcome_s)


def test_time_begins_anew_with_new_work() -> None:
    patient = Patient(running=0)
    patient.watchdog.overdue(0, 1, 0)
    patient.now = 1000
    patient.outcome_s = 1000
    patient.watchdog.begin()
    killed = patient.killed_after()
    assert killed is None or killed >= 1000


def test_one_look_never_kills() -> None:
    """What the worker has sent is read between two looks."""
    patient = Patient(jobs=MANY)
    assert not patient.watchdog.overdue(0, 1, 0)
    patient.cpu_s = 100
    assert not patient.watchdog.overdue(50, 1, 50)
    patient.beats += 1
    assert not patient.watchdog.overdue(50 + LOOK_S, 1, 50)


def test_a_worker_that_beats_and_ends_nothing_is_killed_in_the_end() -> None:
    """E22: native code that has taken it over may write into the cell."""
    killed = Patient(jobs=1).killed_after(beats=50)
    assert killed is not None
    assert WALL_S + CPU_S <= killed <= 60


def test_however_many_events_hang_in_a_worker_they_do_so_for_a_minute() -> None:
    """E22"""
    killed = Patient(jobs=256).killed_after(beats=50, until=200)
    assert killed is not None
    assert killed <= WALL_S + 60 + LATE_S


def test_a_worker_that_runs_without_work_is_found() -> None:
    """E3"""
    patient = Patient()
    for expected in (False, False, True):
        assert patient.watchdog.runs_idle() == expected
        patient.cpu_s += LOOK_S * CLOSER_LOOKS
    resting = Patient()
    assert not any(resting.watchdog.runs_idle() for _ in range(100))
    resting.cpu_s += 1
    assert not resting.watchdog.runs_idle(), "what it does once, such as giving back memory, is no reason"
    assert not resting.watchdog.runs_idle()
