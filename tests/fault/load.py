"""The load of the harness: a process that publishes numbered events until it is told to stop, or killed.

    python -m tests.fault.load CONFIG

CONFIG is a file of JSON: `url`, `key`, `workspace`, `source`, `folder`, `per_s`. Two files in `folder` say what it did,
a line for each event: `attempted` before an event is given to the publisher, `acknowledged` when JetStream has stored
it. The next process goes on with the next number; what this one has queued is in the spool.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

import onward
from kit.publisher.sender import Result

# How often a few events are published.
TICK_S = 0.05
# As long as an outage of the harness may take, and more.
TIMEOUT_S = 120.0


def event(source: str, number: int) -> dict[str, Any]:
    return {
        "type": "track",
        "event": f"Event {number % 7}",
        "messageId": f"{source}-{number:08}",
        "userId": f"user-{number % 997}",
        "timestamp": "2026-01-01T00:00:00.000Z",
        "properties": {"number": number, "note": "x" * 64},
    }


class Journal:
    """A file of lines that outlive the process that wrote them."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, lines: Sequence[str]) -> None:
        os.write(self._descriptor, "".join(f"{line}\n" for line in lines).encode())


def last_number(path: Path) -> int:
    """The number of the last event that was attempted; -1 where there is none."""
    if not path.exists():
        return -1
    lines = path.read_text().rstrip("\n").split("\n")
    return int(lines[-1].rpartition("-")[2]) if lines[-1] else -1


async def publish(config: dict[str, Any]) -> None:
    folder = Path(config["folder"])
    first = last_number(folder / "attempted") + 1
    attempted, acknowledged = Journal(folder / "attempted"), Journal(folder / "acknowledged")

    def told(results: Sequence[Result]) -> None:
        refused = [result for result in results if result.error is not None]
        assert not refused, f"refused for good: {refused[0].error}"
        acknowledged.write([result.entry.message_id for result in results])

    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    source, per_tick = config["source"], max(1, int(config["per_s"] * TICK_S))
    publisher = onward.Publisher(
        config["url"], config["key"], source=source, workspace=config["workspace"], spool=folder / "spool",
        full_timeout_s=TIMEOUT_S, on_result=told,
    )  # fmt: skip
    async with publisher:
        while not over.is_set():
            events = [event(source, number) for number in range(first, first + per_tick)]
            attempted.write([one["messageId"] for one in events])
            for one in events:
                await publisher.publish(one)
            first += per_tick
            await asyncio.sleep(TICK_S)
        await publisher.flush(TIMEOUT_S)


if __name__ == "__main__":
    asyncio.run(publish(orjson.loads(Path(sys.argv[1]).read_bytes())))
