"""Whether a destination works: judged by windows of five minutes, each from all attempts that ended in it.

A destination becomes unhealthy when several windows running are failing, or when it had no attempt but ones of Invalid
Settings for an hour. It is healthy again after some clean windows. What is in between says nothing: a window without
attempts, or with a few that failed. A window in which a breaker held deliveries back has few attempts for that very
reason, so it is failing where most of those few failed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

from services.delivery.domain.schedule import MINUTE_US

WINDOW_MINUTES = 5
WINDOW_US = WINDOW_MINUTES * MINUTE_US
# What is shown of a destination, and for how long after its last attempt it is not idle: an hour.
WINDOWS_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Rules:
    """When a destination fails consistently, and when it works again."""

    # Fewer attempts in a window say nothing.
    attempts_min: int = 10
    # Of a failing window's attempts, at least this share fails.
    failing_ratio: float = 0.5
    failing_windows: int = 3
    clean_windows: int = 2
    invalid_settings_minutes: int = 60


class Window(NamedTuple):
    """Attempts that ended within one window. Its number counts windows since 1970."""

    number: int
    attempts: int = 0
    failures: int = 0
    # Of the failures.
    invalid_settings: int = 0
    # A breaker kept most deliveries back, at least for a part of it.
    held_back: bool = False

    @property
    def start_us(self) -> int:
        return self.number * WINDOW_US


@dataclass(frozen=True, slots=True)
class Health:
    """How a destination is, and what may change it. Windows are numbers; None where there is none."""

    unhealthy: bool = False
    # The first window of those that made it unhealthy, or healthy again; None while it never was unhealthy.
    since: int | None = None
    # The last window that was judged.
    judged: int | None = None
    # The run of failing windows up to that one, and the clean ones since the last that was not.
    failing: int = 0
    clean: int = 0
    # The first window of the failing run, of the clean ones, and of those with nothing but Invalid Settings.
    failing_since: int | None = None
    clean_since: int | None = None
    invalid_since: int | None = None


class Kind(Enum):
    """What a window says."""

    FAILING = "failing"
    CLEAN = "clean"
    # Most of its attempts failed, but they were few.
    THIN = "thin"
    IDLE = "idle"


def window_of(time_us: int) -> int:
    """The number of the window that holds a time."""
    return time_us // WINDOW_US


def last_ended(now_us: int) -> int:
    """The number of the last window that is over."""
    return window_of(now_us) - 1


def kind_of(window: Window, rules: Rules) -> Kind:
    """What a window says of its destination."""
    if not window.attempts:
        return Kind.IDLE
    if window.failures < rules.failing_ratio * window.attempts:
        return Kind.CLEAN
    return Kind.FAILING if window.attempts >= rules.attempts_min or window.held_back else Kind.THIN


def judge(health: Health, windows: Iterable[Window], until: int, rules: Rules) -> Health:
    """How a destination is after these windows, up to the one numbered `until`; ones not given had no attempts.

    Windows that were judged before change nothing, so that whoever judges may do it again. A clock that was ahead by
    more than what is shown begins anew.
    """
    if health.judged is not None and health.judged > until + WINDOWS_SHOWN:
        health = Health(unhealthy=health.unhealthy, since=health.since)
    for window in sorted(windows):
        if (health.judged is None or window.number > health.judged) and window.number <= until:
            health = _after(health, window, rules)
    if health.judged is None or health.judged < until:
        # It had none lately: a run of failing windows ends, and nothing else is known.
        health = replace(health, judged=until, failing=0, failing_since=None)
    return health


def _after(health: Health, window: Window, rules: Rules) -> Health:
    kind = kind_of(window, rules)
    running = health.judged is not None and window.number == health.judged + 1
    health = _counted(health, window, kind, running=running)
    invalid = health.invalid_since
    if window.attempts:
        only_invalid = window.invalid_settings == window.attempts
        invalid = (window.number if invalid is None else invalid) if only_invalid else None
    return _concluded(replace(health, invalid_since=invalid), rules)


def _counted(health: Health, window: Window, kind: Kind, *, running: bool) -> Health:
    failing = health.failing + 1 if running and health.failing else 1
    failing_since = health.failing_since if failing > 1 else window.number
    if kind is not Kind.FAILING:
        failing, failing_since = 0, None
    clean, clean_since = health.clean, health.clean_since
    if kind is Kind.CLEAN:
        clean, clean_since = clean + 1, window.number if clean_since is None else clean_since
    elif kind is not Kind.IDLE:
        clean, clean_since = 0, None
    return replace(
        health, judged=window.number, failing=failing, failing_since=failing_since, clean=clean, clean_since=clean_since
    )


def _concluded(health: Health, rules: Rules) -> Health:
    if health.unhealthy:
        well = health.clean >= rules.clean_windows
        return replace(health, unhealthy=False, since=health.clean_since) if well else health
    assert health.judged is not None
    invalid = health.invalid_since
    if invalid is not None and (health.judged + 1 - invalid) * WINDOW_MINUTES >= rules.invalid_settings_minutes:
        return replace(health, unhealthy=True, since=invalid)
    if health.failing >= rules.failing_windows:
        return replace(health, unhealthy=True, since=health.failing_since)
    return health
