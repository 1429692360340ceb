"""Structured logs on stderr: one JSON object (or one line of text) for each event, with its trace id.

The event is a stable action name, the rest are fields: `log.info("relay_published", workspace=..., count=...)`.
"""

import io
import logging
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, TextIO, cast

import orjson
import structlog
from structlog.typing import Processor

from kit.telemetry import trace

# A line longer than this is cut field by field: log shippers drop or split longer ones.
FIELD_LENGTH_MAX = 8_192

Event = MutableMapping[str, Any]


def configure(service: str, level: str = "info", form: str = "json", stream: TextIO | None = None) -> None:
    """Send this process's logs, those of libraries included, to `stream` (stderr).

    `level` is debug, info, warning or error; `form` is json or text.
    """
    lasting = cast(TextIO, _Lasting(stream or sys.stderr))
    threshold = logging.getLevelNamesMapping()[level.upper()]
    steps = _steps(service)
    renderer = _renderer(form, lasting)
    structlog.configure(
        processors=[*steps, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(lasting),
        cache_logger_on_first_use=True,
    )
    _route_stdlib(threshold, steps, renderer, lasting)


class _Lasting(io.TextIOBase):
    """A stream that may go away: when whoever read our stderr is gone, we must still be able to stop in order."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()


def _steps(service: str) -> list[Processor]:
    def add_service(_logger: Any, _method: str, event: Event) -> Event:
        event["service"] = service
        return event

    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_service,
        add_trace,
        structlog.processors.StackInfoRenderer(),
        # A traceback as text, without local variables: they hold what must not be logged.
        structlog.processors.format_exc_info,
        cut_long_fields,
    ]


def add_trace(_logger: Any, _method: str, event: Event) -> Event:
    """Add the ids of the current trace."""
    trace_id, span_id = trace.trace_ids()
    if trace_id:
        event["trace_id"], event["span_id"] = trace_id, span_id
    return event


def cut_long_fields(_logger: Any, _method: str, event: Event) -> Event:
    """Shorten texts; the end of a traceback says more than its beginning."""
    for name, value in event.items():
        if isinstance(value, str) and len(value) > FIELD_LENGTH_MAX:
            kept = value[-FIELD_LENGTH_MAX:] if name == "exception" else value[:FIELD_LENGTH_MAX]
            event[name] = f"{kept} ({len(value)} characters, cut)"
    return event


def _renderer(form: str, stream: TextIO) -> list[Processor]:
    if form == "text":
        return [
            structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    return [structlog.processors.EventRenamer("action"), structlog.processors.JSONRenderer(_to_json)]


def _to_json(event: Event, **_: Any) -> str:
    # repr of a SecretStr is asterisks; any other unknown object shows itself.
    return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()


def _route_stdlib(threshold: int, steps: list[Processor], renderer: list[Processor], stream: TextIO) -> None:
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *steps],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    # Libraries are talkative below warning; their debugging is not ours.
    root.setLevel(max(threshold, logging.WARNING))
