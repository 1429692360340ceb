"""Workspaces that publish many events beside others that publish a few: how far the many are held back.

Whatever is taken waits for all that was taken before, and each turn of the event loop for all that is done in it. So
where another workspace had a few messages lately, a flood is taken in small parts, each is followed by a pause, as long
as it takes for turns to be short, and while it must pause little of it is held.

A spike is published faster than it can be delivered, and for a while only. The machine is busy enough with storing it;
until that is done, little of it is taken where the machine is busy.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.bus.message import Message
from kit.clock import Clock
from kit.waiting import is_set_within

# A flood brings so many messages a second.
MANY_PER_S = 1_000
# For so long after its last ones a stream is a flood, or has a few.
LATELY_S = 10.0
PART_CROWDED = 64
# How often streams are looked at.
LOOK_S = 0.25
TURN_LONG_S = 0.0002
TURN_SAMPLES = 12
# Pauses alone hold no flood below 2,000 messages a second.
PAUSE_MAX_S = 0.032
# A spike is a stream that grows by SPIKE_PER_S * GROWTH_S messages within GROWTH_S. It is held for a minute at most,
# and not again in the next one. Each second what is here of it is taken: up to 512 messages while the large pulls last
# that were under way, then 64, twice SPIKE_PULL. What was delivered is taken within 3 s, and extended 6.25 s later at
# the latest. JetStream gives it to others after 10 s.
SPIKE_PER_S = 5_000
GROWTH_S = 0.25
SPIKE_S = 60.0
SPIKE_PAUSE_MAX_S = 1.0
SPIKE_PULL = 32
# The longest pauses for each message of a flood and of a spike, and what is none any more.
FLOOD_PACE_S = PAUSE_MAX_S / PART_CROWDED
SPIKE_PACE_S = SPIKE_PAUSE_MAX_S / SPIKE_PULL
PACE_MIN_S = 0.03 * FLOOD_PACE_S
# Pauses get longer while the machine's CPUs are idle for less than this share of the time.
IDLE_SHARE_MIN = 0.3
# Since the machine's start, in seconds: what has passed, and what all of its CPUs together were idle.
UPTIME = Path("/proc/uptime")

IdleShare = Callable[[], float]


class MachineIdle:
    """For what share of the time since the last question the machine's CPUs were idle.

    In a container it is the host's. Where the system doesn't say, they are taken to have been idle.
    """

    def __init__(self, uptime: Path = UPTIME) -> None:
        self._uptime = uptime
        self._passed_s, self._idle_s = 0.0, 0.0

    def __call__(self) -> float:
        try:
            passed_s, idle_s = map(float, self._uptime.read_text().split())
        except (OSError, ValueError):
            return 1.0
        if not idle_s:
            return 1.0
        share = (idle_s - self._idle_s) / max(passed_s - self._passed_s, 0.01) / (os.cpu_count() or 1)
        self._passed_s, self._idle_s = passed_s, idle_s
        return share


@dataclass(slots=True)
class Growth:
    """How fast a stream is published, whoever takes its messages."""

    last: int
    at: float
    # Of the spike that there is or was: when it began, and when it was last seen to go on.
    began_at: float = -2 * SPIKE_S
    fast_at: float = -LATELY_S

    def note(self, last: int, at: float, now: float) -> None:
        """Note the place of the stream's last message, as it was at that time."""
        passed_s = at - self.at
        if last - self.last >= SPIKE_PER_S * max(passed_s, GROWTH_S):
            self.fast_at = now
            if now - self.began_at >= 2 * SPIKE_S:
                self.began_at = now
        if passed_s >= GROWTH_S:
            self.last, self.at = last, at

    def is_spike(self, now: float) -> bool:
        """Whether that was seen lately: of a spike that is held, a pull is taken each second."""
        return now - self.fast_at < LATELY_S and now - self.began_at < SPIKE_S


class Floods:
    """Knows which streams are floods, and how long they are to pause."""

    def __init__(self, clock: Clock, idle_share: IdleShare | None = None) -> None:
        self._clock = clock
        self._idle_share = idle_share or MachineIdle()
        # What each stream brought since the last look; when a stream brought many events, and others a few.
        self._brought: Counter[str] = Counter()
        self._many_at: dict[str, float] = {}
        self._few_at: dict[str, float] = {}
        self._growth: dict[str, Growth] = {}
        # How long is paused for each message of a spike's pulls, and at most FLOOD_PACE_S for one of any other flood.
        # It is one figure, so that a spike is taken step by step while nothing is busy. One that ends while the machine
        # is busy is taken as any flood at once.
        self._pace_s = 0.0
        self._released = asyncio.Event()

    def parts(self, stream: str, messages: list[Message]) -> Iterator[list[Message]]:
        """Cut a pull into what is to be taken together before the next `pause`."""
        now = self._clock.monotonic()
        self._note_growth(stream, messages[-1], now)
        self._brought[stream] += len(messages)
        if self._brought[stream] >= MANY_PER_S * LOOK_S:
            self._flood(stream, now)
        elif stream not in self._many_at:
            if not self._few_at:
                self._begin()
            self._few_at[stream] = now
        start = 0
        while start < len(messages):
            end = start + PART_CROWDED if self._others_have_few(stream) else len(messages)
            yield messages[start:end]
            start = end

    async def pause(self, stream: str, part: Sequence[Message], pulled: Sequence[Message]) -> None:
        """Leave the machine to other workspaces, after a part of what was pulled of a flood."""
        pause_s = self.pause_s(stream)
        if pause_s:
            # A large pull of a spike, requested before, takes as long as a small one, yet no less than one of a flood.
            each_s = max(pause_s / len(pulled), FLOOD_PACE_S) if self._creeps(stream) else pause_s / PART_CROWDED
            await is_set_within(self._released, each_s * min(PART_CROWDED, len(part)))

    def pause_s(self, stream: str) -> float:
        """How long it pauses: a flood after a whole part, a spike that creeps after a pull; 0 for what is neither."""
        if stream not in self._many_at or not self._few_at or self._released.is_set():
            return 0.0
        if self._creeps(stream):
            return self._pace_s * SPIKE_PULL
        return min(self._pace_s, FLOOD_PACE_S) * PART_CROWDED

    def pull_max(self, stream: str, most: int) -> int:
        """What a stream's puller is to ask for, where it asks for `most` of what does not pause."""
        return min(SPIKE_PULL, most) if self.pause_s(stream) and self._creeps(stream) else most

    def release(self) -> None:
        """Let there be no pauses any more: what is here is to be taken, and the process to end."""
        self._released.set()

    async def watch(self) -> float:
        """Look at streams once, after LOOK_S, or more where the event loop is busy; gives how long it was."""
        began = self._clock.monotonic()
        turn_s = await self._turn_s()
        now = self._clock.monotonic()
        passed_s = max(LOOK_S, now - began)
        self._look(now, passed_s)
        self._set_pause(turn_s)
        return passed_s

    async def _turn_s(self) -> float:
        """Measure what a turn of the event loop takes, for as long as LOOK_S; of no use, and 0, without a flood."""
        if not self._many_at:
            await asyncio.sleep(LOOK_S)
            return 0.0
        total_s = 0.0
        for _ in range(TURN_SAMPLES):
            await asyncio.sleep(LOOK_S / TURN_SAMPLES)
            began = self._clock.monotonic()
            await asyncio.sleep(0)
            total_s += self._clock.monotonic() - began
        return total_s / TURN_SAMPLES

    def _note_growth(self, stream: str, newest: Message, now: float) -> None:
        if newest.delivered > 1:
            # It is older than others that came before.
            return
        last, at = newest.stream_seq + newest.pending, newest.arrived_at
        growth = self._growth.setdefault(stream, Growth(last, at))
        was_spike = growth.is_spike(now)
        growth.note(last, at, now)
        if growth.is_spike(now):
            # However little is taken of it.
            self._flood(stream, now)
            if not was_spike:
                self._begin()

    def _look(self, now: float, passed_s: float) -> None:
        for stream, count in self._brought.items():
            if count >= MANY_PER_S * passed_s:
                self._flood(stream, now)
        self._brought.clear()
        for known in (self._many_at, self._few_at):
            for stream in [stream for stream, at in known.items() if now - at >= LATELY_S]:
                del known[stream]

    def _flood(self, stream: str, now: float) -> None:
        if stream not in self._many_at:
            self._begin()
        self._many_at[stream] = now
        self._few_at.pop(stream, None)

    def _begin(self) -> None:
        """Pause for now: no look has been since things changed."""
        self._pace_s = self._pace_max_s()
        # The next look asks for what was since then.
        self._idle_share()

    def _creeps(self, stream: str) -> bool:
        """Whether it is a spike that is held back more than any other flood."""
        return self._pace_s > FLOOD_PACE_S and self._is_spike(stream)

    def _is_spike(self, stream: str) -> bool:
        growth = self._growth.get(stream)
        return growth is not None and growth.is_spike(self._clock.monotonic())

    def _pace_max_s(self) -> float:
        return SPIKE_PACE_S if any(map(self._is_spike, self._growth)) else FLOOD_PACE_S

    def _others_have_few(self, stream: str) -> bool:
        return len(self._few_at) > (stream in self._few_at)

    def _set_pause(self, turn_s: float) -> None:
        if not self._few_at or not self._many_at:
            return
        idle_share, most_s = self._idle_share(), self._pace_max_s()
        pace_s = min(self._pace_s, most_s)
        if turn_s > TURN_LONG_S or idle_share < IDLE_SHARE_MIN:
            pace_s = min(2 * pace_s, most_s) or FLOOD_PACE_S
        else:
            pace_s *= 0.8
        self._pace_s = pace_s if pace_s >= PACE_MIN_S else 0.0
