"""What the fence is asked for: the newest message of a batch, wherever it stands."""

from __future__ import annotations

from kit.bus.message import Message
from services.executor.consumers.intake import _newest_ns


def test_a_redelivered_message_at_the_end_does_not_hide_a_newer_one_before_it() -> None:
    fresh = Message.build("events.acme.web", b"{}", stream_seq=9, timestamp_ns=2_000)
    again = Message.build("events.acme.web", b"{}", stream_seq=3, delivered=2, timestamp_ns=1_000)
    assert _newest_ns([fresh, again]) == 2_000
