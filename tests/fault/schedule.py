"""When which process is killed or stopped: the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from cli.stack import SERVICES

# The publishing process and the sandboxed ones are killed as well.
PARTS = (*SERVICES, "nats", "postgres", "workers", "publisher")
# Postgres' postmaster alone could be stopped, which stops nothing; workers are watched by the executor.
PAUSABLE = (*SERVICES, "nats", "publisher")
# One fault in so many is a stop instead of a kill.
PAUSE_SHARE = 0.15
# The longest is more than JetStream waits for an acknowledgement (10 s): what was stopped wakes up with messages that
# somebody else was given meanwhile.
PAUSES_S = (0.5, 2.0, 12.0)
# Between two faults: some fall into the recovery from the last one, some do not.
GAP_MIN_S = 0.3
GAP_MEAN_S = 1.5
GAP_MAX_S = 6.0


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done to a part, `gap_s` after the last one; a kill where `pause_s` is 0."""

    part: str
    gap_s: float
    pause_s: float = 0.0


def faults(seed: int, kills: int, gap_mean_s: float = GAP_MEAN_S) -> Iterator[Fault]:
    """So many kills, each part once first, with stops between them."""
    rng = random.Random(seed)
    first = list(PARTS)
    rng.shuffle(first)
    killed = 0
    while killed < kills:
        gap_s = min(GAP_MAX_S, GAP_MIN_S + rng.expovariate(1 / gap_mean_s))
        if rng.random() < PAUSE_SHARE:
            yield Fault(rng.choice(PAUSABLE), gap_s, rng.choice(PAUSES_S))
        else:
            yield Fault(first[killed] if killed < len(first) else rng.choice(PARTS), gap_s)
            killed += 1
