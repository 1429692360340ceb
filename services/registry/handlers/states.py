"""Workspaces' states in memory, each brought up to date under its workspace's lock."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from kit.eventstore.facts import fact_types
from kit.eventstore.store import Unit
from onward.registry.v1 import facts_pb2
from services.registry.domain.evolve import fold
from services.registry.domain.state import State

# A busy workspace's state takes about 1 MB; one that was put out is read from the log again.
WORKSPACES_KEPT_MAX = 500
_FACT_TYPES = fact_types(facts_pb2)


@dataclass(frozen=True, slots=True)
class Known:
    """A state and the position in the log that it is true at."""

    position: int
    state: State


class StateCache:
    """Least recently used states. What is kept is always committed: `keep` is called after the commit."""

    def __init__(self, kept_max: int = WORKSPACES_KEPT_MAX) -> None:
        self._kept_max = kept_max
        self._known: OrderedDict[str, Known] = OrderedDict()

    async def load(self, unit: Unit) -> State:
        """The state at the unit's position; asked for before the unit appends."""
        known = self._known.get(unit.workspace, Known(0, State()))
        if known.position > unit.position:
            # The log ends before what is known: the database was put back to an earlier time.
            del self._known[unit.workspace]
            known = Known(0, State())
        state, position = known.state, known.position
        while position < unit.position:
            facts = await unit.read(position)
            state = fold(state, (fact.decode(_FACT_TYPES) for fact in facts))
            position = facts[-1].position
            # What was read is committed. A caller whose time ends here leaves less to the next one.
            self.keep(unit.workspace, position, state)
        return state

    def keep(self, workspace: str, position: int, state: State) -> None:
        """Remembers a state, unless a later one is known: commits may come back in another order."""
        known = self._known.get(workspace)
        if known is None or known.position < position:
            self._known[workspace] = Known(position, state)
        self._known.move_to_end(workspace)
        while len(self._known) > self._kept_max:
            self._known.popitem(last=False)
