"""When a worker has served for long enough."""

from __future__ import annotations

import os

from services.executor.runtime.jobs import Limits
from services.executor.runtime.recycling import EVENTS_MAX, Recycling


def test_a_worker_is_replaced_after_its_events() -> None:
    recycling = Recycling(os.getpid(), Limits())
    recycling.took(EVENTS_MAX - 1)
    assert recycling.due is None
    recycling.took(1)
    assert recycling.due == "events"


def test_a_worker_is_replaced_once_its_heap_or_its_data_is_filled() -> None:
    recycling = Recycling(os.getpid(), Limits())
    recycling.measure()
    assert recycling.due is None
    recycling.filled = True
    assert recycling.due == "memory"
    grown = Recycling(os.getpid(), Limits(heap_bytes=0, buffers_bytes=0))
    kept = bytearray(64 << 20)
    grown.measure()
    assert grown.due == "memory"
    del kept
    grown.measure()
    assert grown.due == "memory", "what has been found stays found"
