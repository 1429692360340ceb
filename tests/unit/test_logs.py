"""Log lines are JSON objects with the trace's id, whoever writes them, and hold no secrets."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from pydantic import SecretStr

from kit import logs, telemetry


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    yield io.StringIO()
    root.handlers, root.level = before
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_has_its_action_its_fields_and_the_trace(stream: io.StringIO) -> None:
    logs.configure("registry", stream=stream)
    with telemetry.span("anything"):
        trace_id, _ = telemetry.trace_ids()
        structlog.get_logger().info("relay_published", count=3)
    (line,) = lines(stream)
    assert (line["action"], line["count"], line["service"], line["level"]) == ("relay_published", 3, "registry", "info")
    assert line["trace_id"] == trace_id


def test_a_librarys_lines_look_the_same(stream: io.StringIO) -> None:
    logs.configure("registry", stream=stream)
    logging.getLogger("somebody.else").warning("it is %s", "so")
    logging.getLogger("somebody.else").info("chatter")
    (line,) = lines(stream)
    assert (line["action"], line["logger"], line["level"]) == ("it is so", "somebody.else", "warning")


def test_secrets_and_local_variables_are_not_written(stream: io.StringIO) -> None:
    logs.configure("registry", stream=stream)
    password = "hunter2"
    try:
        raise RuntimeError("failed")
    except RuntimeError:
        structlog.get_logger().exception("rpc_failed", token=SecretStr(password), nested={"t": SecretStr(password)})
    assert "hunter2" not in stream.getvalue()
    assert "RuntimeError: failed" in lines(stream)[0]["exception"]


def test_a_line_can_not_be_split_or_grow_without_bound(stream: io.StringIO) -> None:
    logs.configure("registry", stream=stream)
    structlog.get_logger().info("said", text="a\nb\x00" + "c" * 1_000_000, odd=object(), keys={1: b"bytes"})
    assert len(lines(stream)) == 1
    assert len(stream.getvalue()) < 2 * logs.FIELD_LENGTH_MAX


def test_lines_below_the_level_are_dropped(stream: io.StringIO) -> None:
    logs.configure("registry", level="error", stream=stream)
    structlog.get_logger().warning("unimportant")
    assert stream.getvalue() == ""


def test_text_is_one_readable_line(stream: io.StringIO) -> None:
    logs.configure("registry", form="text", stream=stream)
    structlog.get_logger().info("relay_published", count=3)
    assert "relay_published" in stream.getvalue()
    assert stream.getvalue().count("\n") == 1
