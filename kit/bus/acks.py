"""Acknowledgements: many messages, one write."""

from __future__ import annotations

from collections.abc import Iterable

from kit.bus.connection import Bus
from kit.bus.message import Message


def ack(bus: Bus, messages: Iterable[Message]) -> None:
    """Acknowledges messages for good. Lost acknowledgements only cause a redelivery."""
    _answer(bus, messages, b"+ACK")


def in_progress(bus: Bus, messages: Iterable[Message]) -> None:
    """Starts the ack_wait of messages again."""
    _answer(bus, messages, b"+WPI")


def nak(bus: Bus, messages: Iterable[Message], delay_s: float = 0.0) -> None:
    """Gives messages back, to be delivered again after a delay.

    They count towards max_ack_pending while they wait, so this is not for back-offs: defer those.
    """
    _answer(bus, messages, b'-NAK {"delay": %d}' % int(delay_s * 1e9) if delay_s else b"-NAK")


def terminate(bus: Bus, messages: Iterable[Message]) -> None:
    """Gives up messages that can never be handled; the server reports them in an advisory."""
    _answer(bus, messages, b"+TERM")


def _answer(bus: Bus, messages: Iterable[Message], answer: bytes) -> None:
    tail = b" %d\r\n%b\r\n" % (len(answer), answer)
    commands = b"".join([b"PUB " + message.reply_subject + tail for message in messages])
    if commands:
        bus.write(commands)
