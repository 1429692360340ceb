"""Workers that have evaluated libraries ahead, each for the next script that names exactly these.

Evaluating one takes up to twenty times as long as all else that a new function needs. A worker is given to one script
only, and never to one that does not name what is in it: such a library would be in its scope.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from pathlib import Path
from typing import Final

from services.executor.runtime.prelude import read_mentions
from services.executor.runtime.worker_link import Worker

Names = tuple[str, ...]

# Sets of libraries that are kept ready, those named last: each holds up to 15 MB in a worker that nobody uses yet.
KEPT_MAX: Final = 2


class PreparedSpares:
    """At most one worker for each set of libraries that was named lately."""

    def __init__(self) -> None:
        self._mentions: dict[str, re.Pattern[str]] = {}
        self._kept: OrderedDict[Names, Worker | None] = OrderedDict()

    @property
    def ready(self) -> dict[Names, int]:
        return {names: worker.pid for names, worker in self._kept.items() if worker is not None and worker.alive}

    def read(self, runtime_dir: Path) -> None:
        """Learn by what scripts name libraries. Raises OSError where the runtime was not built."""
        self._mentions = read_mentions(runtime_dir)

    def names(self, code: str) -> Names:
        """The libraries that a script names."""
        return tuple(name for name, mentioned in self._mentions.items() if mentioned.search(code))

    def take(self, names: Names) -> Worker | None:
        """A worker that has evaluated exactly these, if there is one; another one is wanted from now on."""
        if not names:
            return None
        worker = self._kept.pop(names, None)
        self._kept[names] = None
        if len(self._kept) > KEPT_MAX:
            _, unused = self._kept.popitem(last=False)
            if unused is not None:
                unused.kill()
        return worker if worker is not None and worker.alive else None

    def missing(self) -> Names | None:
        """What the next worker is to evaluate; the set that was named last comes first."""
        return next((names for names in reversed(self._kept) if self._kept[names] is None), None)

    def put(self, names: Names, worker: Worker) -> None:
        """Keep a new worker, which evaluates them before anything else that it is given."""
        if names in self._kept and self._kept[names] is None:
            worker.prepare(names)
            self._kept[names] = worker
        else:  # others were named meanwhile
            worker.kill()

    def remove(self, worker: Worker) -> None:
        """Forget a worker that has ended; it is not replaced before its libraries are named again."""
        for names in [names for names, kept in self._kept.items() if kept is worker]:
            del self._kept[names]

    def clear(self) -> None:
        """Forget all: they have ended."""
        self._kept.clear()
