"""What became of the harness' events, in the style of Jepsen's set test: what was put in against what came out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from onward.executor.v1 import outcomes_pb2
from tests.fault.ledger import DELIVERED, Attempt, attempts, query
from tests.fault.receiver import Receiver
from tests.fault.system import WORKSPACE, Route, System

# Of what is wrong, so much is shown.
SHOWN = 5
_LOST = int(outcomes_pb2.RESULT_LOST)


@dataclass(slots=True)
class Verdict:
    """Figures of one route, and what is wrong with them: nothing, or the product is broken."""

    figures: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def must_be_empty(self, name: str, found: object) -> None:
        """Count something of which there must be none."""
        ids = sorted(found) if isinstance(found, set | list) else []
        self.figures[name] = len(ids)
        if ids:
            self.wrong.append(f"{name}: {len(ids)}, such as {ids[:SHOWN]}")


def journal(path: Path) -> set[str]:
    """The ids in a journal; a line that was torn by a kill is none."""
    return set(path.read_text().split("\n")[:-1]) if path.exists() else set()


async def check(system: System, route: Route, folder: Path, receiver: Receiver | None, flaky: bool) -> Verdict:
    """Compare what was published to a route with what the tracker has of it, and with what the API was sent."""
    verdict = Verdict()
    attempted, acknowledged = journal(folder / "attempted"), journal(folder / "acknowledged")
    rows = await attempts(system, route)
    terminal = Counter(row.message_id for row in rows if row.terminal)
    recorded = set(terminal)
    verdict.figures |= {"attempted": len(attempted), "acknowledged": len(acknowledged), "recorded": len(recorded)}
    verdict.must_be_empty("lost", acknowledged - recorded)
    verdict.must_be_empty("unexpected", recorded - attempted)
    verdict.must_be_empty("ended_twice", [one for one, count in terminal.items() if count > 1])
    keys = Counter((row.message_id, row.attempt) for row in rows)
    verdict.must_be_empty("attempts_twice", [str(key) for key, count in keys.items() if count > 1])
    verdict.must_be_empty("never_ended", {row.message_id for row in rows} - recorded)
    verdict.must_be_empty("stored_twice", {row.message_id for row in rows if row.duplicate})
    verdict.must_be_empty("not_delivered", {row.message_id for row in rows if row.terminal and row.state != DELIVERED})
    verdict.must_be_empty("retries_burnt", {row.message_id for row in rows if row.retries_used > _expected(row, flaky)})
    verdict.figures["attempts_lost"] = sum(row.result == _LOST for row in rows)
    verdict.figures["attempts_more"] = len(rows) - len(recorded)
    await _check_tables(system, route, rows, verdict)
    if receiver is not None:
        _check_received(receiver, route, acknowledged, verdict)
    return verdict


def _expected(row: Attempt, flaky: bool) -> int:
    """How many retries an event may have used up: those that its API asked for."""
    return int(flaky and is_flaky(row.message_id))


def is_flaky(message_id: str) -> bool:
    """Whether the API of the harness answers 503 to the first request of an event."""
    return int(message_id.rpartition("-")[2]) % 20 == 0


async def _check_tables(system: System, route: Route, rows: list[Attempt], verdict: Verdict) -> None:
    due = await query(
        system, "SELECT message_id FROM due WHERE workspace = $1 AND destination = $2", WORKSPACE, route.destination
    )
    verdict.must_be_empty("still_due", {str(row["message_id"]) for row in due})
    refused = await query(
        system, "SELECT reason FROM ingest_failures WHERE workspace = $1 AND source = $2", WORKSPACE, route.source
    )
    verdict.must_be_empty("refused", [str(row["reason"]) for row in refused])
    summed = await query(
        system,
        """SELECT state, sum(count)::bigint AS n FROM rollups WHERE workspace = $1 AND destination = $2
        GROUP BY state""",
        WORKSPACE, route.destination,
    )  # fmt: skip
    _check_sums(verdict, {row["state"]: row["n"] for row in summed}, Counter(row.state for row in rows if row.terminal))


def _check_sums(verdict: Verdict, summed: Mapping[int, int], counted: Mapping[int, int]) -> None:
    """Roll-ups must say what rows say, for each terminal state."""
    differ = {state for state in counted if summed.get(state, 0) != counted[state]}
    verdict.must_be_empty(
        "rollups_differ", {f"{state}: {summed.get(state, 0)} of {counted[state]}" for state in differ}
    )


def _check_received(receiver: Receiver, route: Route, acknowledged: set[str], verdict: Verdict) -> None:
    received = {one for one in receiver.received if one.startswith(f"{route.source}-")}
    verdict.must_be_empty("never_sent", acknowledged - received)
    verdict.must_be_empty("keys_differ", [one for one in received if len(receiver.received[one].keys) > 1])
    verdict.figures["sent_more"] = sum(sum(receiver.received[one].keys.values()) - 1 for one in received)


async def left(system: System, route: Route, folder: Path) -> int:
    """How many acknowledged events have no terminal row yet."""
    rows = await query(
        system,
        "SELECT DISTINCT message_id FROM attempts WHERE workspace = $1 AND destination = $2 AND terminal",
        WORKSPACE, route.destination,
    )  # fmt: skip
    return len(journal(folder / "acknowledged") - {row["message_id"] for row in rows})


async def due(system: System, route: Route) -> int:
    rows = await query(
        system, "SELECT count(*) AS n FROM due WHERE workspace = $1 AND destination = $2", WORKSPACE, route.destination
    )
    return int(rows[0]["n"])
