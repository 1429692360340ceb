"""Workspaces' states in memory, each brought up to date under its workspace's lock."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from google.protobuf.message import Message

from kit.auth.caller import Caller
from kit.eventstore.facts import fact_types
from kit.eventstore.store import Unit
from onward.registry.v1 import facts_pb2
from services.registry.domain.evolve import fold, leave_rights_alone
from services.registry.domain.state import State

# A busy workspace's state takes about 1 MB; one that was put out is read from the log again.
WORKSPACES_KEPT_MAX = 500
_FACT_TYPES = fact_types(facts_pb2)


@dataclass(frozen=True, slots=True)
class Known:
    """A state and the position in the log that it is true at; and that of the last fact which could change rights."""

    position: int = 0
    state: State = field(default_factory=State)
    access_position: int = 0

    def after(self, position: int, facts: Sequence[Message]) -> Known:
        """With what the facts up to a position, all that there are, make of it."""
        kept = leave_rights_alone(facts)
        # The position of the last of them will do for each of them: to be told too late is to ask once too often.
        return Known(position, fold(self.state, facts), self.access_position if kept else position)

    def covers(self, caller: Caller) -> bool:
        """Whether the caller's rights were read after the last fact that could change them."""
        return bool(caller.known_at) and caller.known_at >= self.access_position


class StateCache:
    """Least recently used states. What is kept is always committed: `keep` is called after the commit."""

    def __init__(self, kept_max: int = WORKSPACES_KEPT_MAX) -> None:
        self._kept_max = kept_max
        self._known: OrderedDict[str, Known] = OrderedDict()

    def known(self, workspace: str) -> Known | None:
        """What is known without asking; the log may be further by now."""
        return self._known.get(workspace)

    async def load(self, unit: Unit) -> Known:
        """The state at the unit's position; asked for before the unit appends."""
        known = self._known.get(unit.workspace, Known())
        if known.position > unit.position:
            # The log ends before what is known: the database was put back to an earlier time.
            del self._known[unit.workspace]
            known = Known()
        while known.position < unit.position:
            facts = await unit.read_data(known.position)
            known = known.after(facts[-1].position, [fact.decode(_FACT_TYPES) for fact in facts])
            # What was read is committed. A caller whose time ends here leaves less to the next one.
            self.keep(unit.workspace, known)
        return known

    def keep(self, workspace: str, known: Known) -> None:
        """Remembers a state, unless a later one is known: commits may come back in another order."""
        before = self._known.get(workspace)
        if before is None or before.position < known.position:
            self._known[workspace] = known
        self._known.move_to_end(workspace)
        while len(self._known) > self._kept_max:
            self._known.popitem(last=False)
