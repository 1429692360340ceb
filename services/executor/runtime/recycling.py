"""When a worker has served for long enough: its destination gets a new one, and what runs in the old one ends there.

What a script keeps in its module goes with it. That may happen at any time, and nothing but a cache belongs there.
"""

from __future__ import annotations

from typing import Final

from services.executor.runtime.jobs import Limits
from services.executor.runtime.processes import data_bytes

# Whatever grows by a little with each event, be it V8's, mini-racer's or ours, begins anew after so many. At full speed
# they take ten seconds, and the most expensive new worker takes 0.1 s; sequence numbers, of 32 bits, last far longer.
EVENTS_MAX: Final = 1_000_000
# Past this share of what may live in the heap, or of what else the process may use, events that are not to blame would
# soon be the ones that find no memory.
FILLED_SHARE: Final = 0.75


class Recycling:
    """Says of one worker whether it is to be replaced."""

    def __init__(self, pid: int, limits: Limits) -> None:
        """Once a script is loaded: what the process uses then does not count."""
        self._pid = pid
        self._data_max = data_bytes(pid) + int((limits.heap_bytes + limits.buffers_bytes) * FILLED_SHARE)
        self._events = 0
        self.filled = False

    @property
    def due(self) -> str | None:
        """Why to replace it."""
        if self._events >= EVENTS_MAX:
            return "events"
        return "memory" if self.filled else None

    def took(self, events: int) -> None:
        """Count events that it was given."""
        self._events += events

    def measure(self) -> None:
        """Look at what it uses beside V8's heap, of which the worker tells itself."""
        self.filled = self.filled or data_bytes(self._pid) > self._data_max
