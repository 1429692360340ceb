"""given(...).when(...).then(...) for the registry's decisions."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

from google.protobuf.message import Message

from kit.errors import OnwardError
from kit.eventstore.facts import NewFact
from services.registry.domain.evolve import evolve
from services.registry.domain.folding import close_drafts, open_drafts
from services.registry.domain.state import State

Decide = Callable[[State], list[NewFact]]


class Given:
    """`given(...facts).when(decision).then(...facts)`, or `.refused(code, reason)`."""

    def __init__(self, *facts: Message) -> None:
        self.state = State()
        for fact in facts:
            self.state = evolve(self.state, fact)
        assert close_drafts(reduce(evolve, facts, open_drafts(State()))) == self.state, (
            "both ways of applying facts must agree"
        )
        self._decided: list[NewFact] = []
        self._error: OnwardError | None = None

    def when(self, decide: Decide) -> Given:
        try:
            self._decided = decide(self.state)
        except OnwardError as error:
            self._error = error
        return self

    def then(self, *facts: Message) -> None:
        assert self._error is None, self._error
        assert [fact.data for fact in self._decided] == list(facts)
        for fact in facts:
            # Whatever is decided must be applicable.
            self.state = evolve(self.state, fact)

    def decided(self) -> list[Any]:
        assert self._error is None, self._error
        return [fact.data for fact in self._decided]

    def refused(self, code: str, reason: str) -> OnwardError:
        assert self._error is not None, "was not refused"
        assert (self._error.code, self._error.reason) == (code, reason), self._error.message
        return self._error
