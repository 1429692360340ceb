"""Log lines of what runs inside the command, for people."""

from __future__ import annotations

import sys

import structlog
from structlog.typing import EventDict

from cli.output import shown

LEVEL_WARNING = 30

_WORDS = {
    "child_exited": "{child} ended with {exit_code}; it is started again",
    "child_restarted": "{child} runs again, pid {pid}",
    "child_not_restarted": "{child} can't be started: {error}",
    "bus_disconnected": "the connection to NATS at {nats} is lost; trying again",
}

# Told by another line already.
_QUIET = ("bus_error", "bus_client_rebuilt", "bus_connect_failed")


def show_warnings() -> None:
    """Show warnings as lines on stderr."""
    structlog.configure(
        processors=[_as_line],
        wrapper_class=structlog.make_filtering_bound_logger(LEVEL_WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _as_line(_logger: object, _method: str, event: EventDict) -> str:
    action = str(event.pop("event"))
    if action in _QUIET:
        raise structlog.DropEvent
    if action in _WORDS:
        return "warning: " + shown(_WORDS[action].format_map(event))
    fields = " ".join(f"{name}={value}" for name, value in event.items())
    return shown(f"warning: {action.replace('_', ' ')} {fields}".rstrip())
