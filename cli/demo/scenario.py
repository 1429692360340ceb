"""The demo's story: set up, publish, watch, compare, show."""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import orjson
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cli.commands.audit import audit_stub
from cli.commands.deliveries import delivery_stub
from cli.demo import report
from cli.demo.events import Event, make_events
from cli.demo.expectations import (
    CHAT,
    CHAT_EVENTS,
    SURVEY,
    WAREHOUSE,
    Counts,
    choose_rules,
    differences,
    expected_counts,
)
from cli.demo.receiver import Receiver
from cli.demo.report import Found, read_summary
from cli.options import Options
from cli.output import console, make_table, say
from cli.paging import collect
from cli.session import Session
from cli.stack import Stack
from onward.audit.v1 import audit_service_pb2
from onward.delivery.v1 import delivery_service_pb2 as pb

WORKSPACE, SOURCE = "shop", "web"
EVENTS = 2000
# So that retries, hours long by default, are seen within the demo. Like the default, they grow.
RETRY_OFFSETS_S = "1,2,4,8,16"
# On the slowest machine that we know it takes a tenth of it.
SETTLE_TIMEOUT_S = 60.0
POLL_S = 0.25
# Where no terminal shows a live table, a line of progress as often as this.
LINE_INTERVAL_S = 2.0
AUDIT_TIMEOUT_S = 10.0
# What the demo does must be on the trail, each so often.
AUDITED = {
    "WorkspaceCreated": 1,
    "EgressRangeAllowed": 1,
    "FunctionCreated": 3,
    "FunctionVersionSaved": 4,
    "SourceCreated": 1,
    "DestinationConnected": 3,
    "DestinationEnabled": 3,
    "VersionDeployed": 1,
}


@dataclass(frozen=True, slots=True)
class Result:
    """What the demo came to."""

    found: Mapping[str, Found]
    expected: Mapping[str, Counts]
    problems: Sequence[str]
    seconds: float


class Demo:
    """One run of the demo in a fresh data folder."""

    def __init__(self, data: Path) -> None:
        self._options = Options(data=data, workspace="")
        self._data = data
        self._events: list[Event] = make_events(EVENTS)
        self._rules = choose_rules(self._events)
        self._expected = expected_counts(self._events, self._rules)

    async def run(self) -> Result:
        started_at = time.monotonic()
        _title("Starting Postgres, NATS and the four services")
        overrides = {"delivery": {"ONWARD_RETRY_OFFSETS_S": RETRY_OFFSETS_S}}
        async with Stack(self._data, overrides) as stack, Receiver(self._rules) as receiver:
            say(f"Ready after {time.monotonic() - started_at:.1f} s in {stack.data}")
            say(f"An API to deliver to, busy now and then, listens at {receiver.address}")
            await self._set_up(receiver.address)
            await self._publish()
            async with Session(self._options) as session:
                found = await self._watch(session)
                problems = await self._check(session, found, receiver)
                await self._show(session, found)
        return Result(found, self._expected, problems, time.monotonic() - started_at)

    async def _set_up(self, address: str) -> None:
        _title("A workspace, three functions from templates, a source, three destinations")
        code = self._data / "warehouse.js"
        code.write_text(resources.files("cli.demo").joinpath("functions/warehouse.js").read_text())
        key = self._data / "survey-key.txt"
        key.write_text("not-a-real-key-just-a-demo\n")
        key.chmod(0o600)
        wanted = orjson.dumps(CHAT_EVENTS).decode()
        for words in (
            ["workspaces", "create", WORKSPACE],
            ["workspaces", "allow-egress", "127.0.0.0/8"],
            ["functions", "create", WAREHOUSE, "--template", "http-post"],
            ["functions", "create", CHAT, "--template", "teams-message"],
            ["functions", "create", SURVEY, "--template", "survey-trigger"],
            ["sources", "create", SOURCE],
            _connect(WAREHOUSE, f"endpoint={address}/{WAREHOUSE}"),
            _connect(CHAT, f"endpoint={address}/{CHAT}", f"events:={wanted}"),
            _connect(SURVEY, f"endpoint={address}/{SURVEY}", f"apiKey=@{key}", "survey=why-did-you-leave"),
            ["functions", "save", WAREHOUSE, str(code), "--deploy", "all"],
        ):
            await self._command(words)

    async def _publish(self) -> None:
        _title(f"{EVENTS:,} events of all seven types")
        path = self._data / "events.ndjson"
        path.write_bytes(b"".join(orjson.dumps(event) + b"\n" for event in self._events))
        await self._command(["events", "publish", SOURCE, str(path)])

    async def _command(self, words: Sequence[str]) -> None:
        """Run a command of ours as a user would, and show it."""
        from cli.main import app

        console().print(Text(f"$ onward {shlex.join(words)}", style="bold cyan"), soft_wrap=True)
        code = await app.run_async(
            [*words, "--data", str(self._data)], exit_on_error=False, print_error=False, result_action="return_value"
        )
        assert not code, f"{words} ended with {code}"

    async def _watch(self, session: Session) -> dict[str, Found]:
        """Show what becomes of the events until all have ended, or time is up."""
        _title("Delivering; what the API was too busy for is tried again after 1 s")
        stub = delivery_stub(session)
        request = pb.GetSummaryRequest(parent=session.workspace_name)
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        live = console().is_terminal
        line_due = 0.0
        with Live(console=console(), auto_refresh=False, transient=True) if live else nullcontext() as screen:
            while True:
                found = read_summary(await stub.GetSummary(request))
                if isinstance(screen, Live):
                    screen.update(self._progress_table(found), refresh=True)
                elif time.monotonic() >= line_due:
                    say(self._progress_line(found))
                    line_due = time.monotonic() + LINE_INTERVAL_S
                if self._all_ended(found) or time.monotonic() > deadline:
                    break
                await asyncio.sleep(POLL_S)
        say(self._progress_line(found))
        return {name: found[name] for name in self._expected if name in found}

    def _all_ended(self, found: Mapping[str, Found]) -> bool:
        return all(name in found and found[name].ended >= counts.total for name, counts in self._expected.items())

    def _progress_line(self, found: Mapping[str, Found]) -> str:
        parts = [f"{name} {found[name].ended if name in found else 0:,} of {EVENTS:,}" for name in self._expected]
        waiting = sum(one.pending for one in found.values())
        return f"ended: {', '.join(parts)}; {waiting:,} waiting"

    def _progress_table(self, found: Mapping[str, Found]) -> Table:
        nothing = Found(Counts(), 0, 0.0, 0.0)
        rows = [
            (name, _bar(one.ended / EVENTS), f"{one.ended:,}", f"{one.counts.delivered:,}", f"{one.pending:,}")
            for name, one in ((name, found.get(name, nothing)) for name in self._expected)
        ]
        return make_table(("destination", "ended", ">of 2,000", ">delivered", ">waiting"), rows)

    async def _check(self, session: Session, found: Mapping[str, Found], receiver: Receiver) -> list[str]:
        problems = differences(self._expected, {name: one.counts for name, one in found.items()})
        problems += [f"{name}: {one.pending} still pending" for name, one in found.items() if one.pending]
        problems += self._receipts(receiver)
        return problems + await _audit_problems(session)

    def _receipts(self, receiver: Receiver) -> list[str]:
        """Compare with what the receiver itself has counted."""
        problems = []
        for name, counts in self._expected.items():
            want = {200: counts.delivered, 503: counts.after_retry, 400: counts.bad_request}
            for status, number in want.items():
                got = receiver.answered[name, status]
                if got != number:
                    problems.append(f"{name}: the API answered {status} to {got} requests, expected {number}")
        return problems

    async def _show(self, session: Session, found: Mapping[str, Found]) -> None:
        say()
        report.print_results(found)
        report.print_failures(await _failed(session))
        _title("One that failed, with what was sent, answered and logged")
        shown = ["deliveries", "show", "--message-id", self._rules.refused_id, "--destination", WAREHOUSE]
        await self._command(shown)
        _title("Who changed what")
        await self._command(["audit", "list"])


def _connect(function: str, *settings: str) -> list[str]:
    return ["destinations", "connect", function, SOURCE, *settings, "--name", function, "--enable"]


async def _failed(session: Session) -> list[pb.Delivery]:
    stub, parent = delivery_stub(session), session.workspace_name
    return await collect(
        lambda size, token: stub.ListDeliveries(
            pb.ListDeliveriesRequest(
                parent=parent, page_size=size, page_token=token, state=pb.DeliveryState.DELIVERY_STATE_FAILED
            )
        ),
        "deliveries",
    )


async def _audit_problems(session: Session) -> list[str]:
    """Wait until the trail has what was done; say what it lacks."""
    stub = audit_stub(session)
    request = audit_service_pb2.ListAuditEventsRequest(parent=session.workspace_name, page_size=1000)
    deadline = time.monotonic() + AUDIT_TIMEOUT_S
    while True:
        actions = [one.action for one in (await stub.ListAuditEvents(request)).audit_events]
        problems = [
            f"the audit trail has {actions.count(action)} {action}, expected {count}"
            for action, count in AUDITED.items()
            if actions.count(action) != count
        ]
        if not problems or time.monotonic() > deadline:
            return problems
        await asyncio.sleep(POLL_S)


def _bar(share: float, width: int = 24) -> Text:
    filled = min(width, int(share * width))
    return Text.assemble(("━" * filled, "green"), ("━" * (width - filled), "dim"))


def _title(text: str) -> None:
    say()
    console().print(Text(text, style="bold"), soft_wrap=True)
