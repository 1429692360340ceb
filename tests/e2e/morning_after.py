"""The story of docs/morning-after.md, command by command: `python -m tests.e2e.morning_after` writes the page."""

from __future__ import annotations

import json
import shlex
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from kit.testing.servers import short_lived_folder
from tests.e2e.onward_program import Api, Onward, running
from tests.e2e.transcript import Step, Transcript

PAGE = Path(__file__).resolve().parents[2] / "docs/morning-after.md"
# Of the page; a test runs the story with some hundreds.
EVENTS = 30_000
# Two cores run some hundreds of failing attempts a second, each captured.
SETTLED_TIMEOUT_S = 900.0

CODE = """\
async function onTrack(event, settings) {
  const url = `${settings.endpoint}/${event.messageId}`
  const response = await fetch(url, { method: 'POST', body: JSON.stringify(event) })
  if (!response.ok) throw new HTTPError(response)
}
class HTTPError extends Error {
  constructor(response) {
    super(`the CRM answered ${response.status}`)
    this.status = response.status
  }
}
"""

INTRODUCTION = """\
# The morning after

The API of a partner was down all night. What happened, whether anything is missing, and how to put it right. This page
is the record of a run: `python -m tests.e2e.morning_after` writes it anew, and a test runs the same with fewer events.
The destination does not retry, where it would nine times in four hours: so the night takes minutes."""

NIGHT = """\
## The night

The API answers every call with 503. Events are published all the same, and each publish is acknowledged."""

MORNING = """\
## The morning

What failed is counted, with its error. When nearly all failed, the circuit breaker opened: what it holds back waits,
and the API is not called for each of them."""

RIGHT = """\
## Putting it right

The API is back. What was held back goes when the breaker closes, by itself or by hand. What has failed is tried again:
a dry run tells how much that is; then all of it goes on, each as the delivery that it is."""

TRUST = """\
## Nothing is missing

Nothing is failed any more and nothing waits. The partner counted the messageIds that it took: as many as were
published. The trail tells who did it."""


class Partner(Api):
    """An API that is down until it is back, and counts what it takes by the path: the messageId."""

    def __init__(self) -> None:
        super().__init__()
        self.down = True
        self.taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    def status(self, path: str) -> int:
        if self.down:
            return 503
        with self._lock:
            self.taken[path.strip("/")] += 1
        return 200


class Story:
    """Runs it on a stack with nothing in it."""

    def __init__(self, onward: Onward, partner: Partner, folder: Path, events: int) -> None:
        self.transcript = Transcript(onward.data, folder)
        self.events = events
        self._onward = onward
        self._partner = partner
        self._folder = folder

    def run(self) -> None:
        self._prepare()
        self._night()
        self._morning()
        self._right()
        self._trust()

    def _prepare(self) -> None:
        (self._folder / "crm.js").write_text(CODE)
        (self._folder / "crm.json").write_text('[{"name": "endpoint", "required": true}]')
        lines = (
            json.dumps({"type": "track", "event": "Order Completed", "userId": f"u{number}", "messageId": f"m{number}"})
            for number in range(self.events)
        )
        (self._folder / "events.ndjson").write_text("\n".join(lines) + "\n")
        self.transcript.tell(INTRODUCTION)
        self._do(
            "workspaces create acme",
            "workspaces allow-egress 127.0.0.0/8",
            "sources create web",
            "functions create crm",
            "functions save crm crm.js --definitions crm.json",
            f"destinations connect crm web endpoint={self._partner.address} --enable",
            "destinations policy crm-web --retries none",
        )

    def _night(self) -> None:
        self.transcript.tell(NIGHT)
        self._do("events publish web events.ndjson")
        self._until(lambda total: total["failed"] > 0 and total["failed"] + total["pending"] == self.events)

    def _morning(self) -> None:
        self.transcript.tell(MORNING)
        self._do("deliveries summary", "deliveries errors", "health")

    def _right(self) -> None:
        self.transcript.tell(RIGHT)
        self._partner.down = False
        self._do("deliveries breaker reset crm-web")
        self._until(lambda total: total["pending"] == 0)
        self._do(
            "deliveries redrive crm-web --dry-run",
            "deliveries redrive crm-web --rate 1000 --watch --yes",
        )

    def _trust(self) -> None:
        self.transcript.tell(TRUST)
        self._do("deliveries summary", "replays show r1", "audit list --limit 4")

    def _do(self, *commands: str) -> Step:
        """Run commands; gives the last one."""
        for command in commands:
            last = self.transcript.run("owner", "", f"onward {command}", *shlex.split(command))
        return last

    def _until(self, settled: Callable[[dict[str, int]], bool]) -> None:
        deadline = time.monotonic() + SETTLED_TIMEOUT_S
        while not settled(self.counts()):
            assert time.monotonic() < deadline, self.counts()
            time.sleep(1)

    def counts(self) -> dict[str, int]:
        """What became of the events."""
        total = self._onward.json("deliveries", "summary", "--since", "1d").get("total", {})
        return {name: int(total.get(name, 0)) for name in ("delivered", "failed", "pending")}


def main() -> None:
    events = int(sys.argv[1]) if sys.argv[1:] else EVENTS
    partner = Partner()
    with short_lived_folder() as folder, running(folder / "data") as onward, partner.listening():
        story = Story(onward, partner, folder, events)
        story.run()
        assert partner.taken.keys() == {f"m{number}" for number in range(events)}
        assert story.counts() == {"delivered": events, "failed": 0, "pending": 0}
        text = story.transcript.markdown().replace(f"{folder}/data", "onward-data")
    PAGE.write_text(text)
    sys.stdout.write(f"{PAGE}: {len(story.transcript.steps)} commands\n")


if __name__ == "__main__":
    main()
