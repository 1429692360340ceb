"""Log lines of what runs inside the command, for people."""

from __future__ import annotations

import sys

import structlog
from structlog.typing import EventDict

from cli.output import shown

LEVEL_INFO = 20

_WORDS = {
    "child_exited": "{child} ended with {exit_code}; it is started again",
    "child_restarted": "{child} is up again, pid {pid}",
    "child_not_restarted": "{child} can't be started: {error}",
    "bus_disconnected": "the connection to NATS at {nats} is lost; trying again",
}

# What ends something that was warned of.
_GOOD_NEWS = ("child_restarted",)
# Told by another line already.
_QUIET = ("bus_error", "bus_client_rebuilt", "bus_connect_failed")


def show_warnings() -> None:
    """Show warnings, and what ends them, as lines on stderr."""
    structlog.configure(
        processors=[_as_line],
        wrapper_class=structlog.make_filtering_bound_logger(LEVEL_INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _as_line(_logger: object, method: str, event: EventDict) -> str:
    action = str(event.pop("event"))
    if action in _QUIET or (method == "info" and action not in _GOOD_NEWS):
        raise structlog.DropEvent
    if action in _WORDS:
        return ("" if method == "info" else "warning: ") + shown(_WORDS[action].format_map(event))
    fields = " ".join(f"{name}={value}" for name, value in event.items())
    return shown(f"warning: {action.replace('_', ' ')} {fields}".rstrip())
