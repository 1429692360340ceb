"""The event log in memory does what every event store does."""

import pytest

from kit.eventstore.memory import MemoryEventStore
from tests.conformance.eventstore import EventStoreConformance


class TestMemoryEventStore(EventStoreConformance):
    @pytest.fixture
    def store(self) -> MemoryEventStore:
        return MemoryEventStore()
