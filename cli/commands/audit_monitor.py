"""onward audit monitor"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cli.audit_logs import HeadsLog, WorkspaceLog
from cli.audit_memory import Memory, read_notes
from cli.audit_monitor import Finding, Log, Monitor, Seen
from cli.audit_verifier import Key, NotVerifiedError
from cli.client_file import ClientFile
from cli.commands.audit import SYSTEM_WORKSPACE, audit_stub
from cli.durations import parse_duration
from cli.failures import CommandError, Exit, UsageError
from cli.options import DEFAULTS, Options
from cli.output import print_json_line, say, say_line, styled, warn
from cli.session import Session
from kit.errors import OnwardError

# People look at findings once a day at most; a round costs a few calls.
EVERY_S_MIN = 0.1


async def monitor(
    *,
    state: Path,
    every: str = "60s",
    once: bool = False,
    key: str = "",
    compare: tuple[Path, ...] = (),
    gap: str = "10m",
    options: Options = DEFAULTS,
) -> int:
    """Remember what was signed of the trail, and tell when a later trail does not begin with it, until Ctrl-C.

    Example: onward audit monitor --state monitor.json

    Without --workspace it looks at all that the data folder has tokens of; of `system` also at the tree of heads, in
    which the checkpoints of all workspaces are tied together. Keep the state where the operators of the service cannot
    change it. With --json, a line of JSON for each finding.

    Parameters
    ----------
    state
        The file of what is remembered; made where it is not there.
    every
        How often to look.
    once
        Look once, for cron: the exit code is 1 where something is wrong, and 3 where the service does not answer.
    key
        The verifier key that you trust, such as onward+1a2b3c4d+AbC...; at first what the service says where absent.
    compare
        Checkpoints that somebody else was shown: a file, a folder of them, or another monitor's state.
    gap
        For how long records may be without a checkpoint.
    """
    memory = Memory(state)
    memory.load()
    if key and memory.key not in ("", key):
        raise UsageError(f"{state} was made with the key {memory.key}: name that one, or begin another state")
    async with _logs(options) as logs:
        memory.key = await _key(memory.key or key, logs)
        # Before the first look: a monitor that can't remember is none.
        memory.save()
        watch = Watch(logs, memory, _trusted(memory.key, gap), compare, as_json=options.json)
        if once:
            return await watch.round()
        while True:
            await watch.round()
            await asyncio.sleep(max(EVERY_S_MIN, parse_duration(every)))


class Watch:
    """Rounds over all logs."""

    def __init__(
        self, logs: Sequence[Log], memory: Memory, monitor: Monitor, compare: Sequence[Path], *, as_json: bool
    ) -> None:
        self._logs = logs
        self._memory = memory
        self._monitor = monitor
        self._compare = compare
        self._as_json = as_json

    async def round(self) -> int:
        """Look at each log; the exit code of the worst."""
        findings = await self.findings()
        for finding in findings:
            self._tell(finding)
        kinds = {finding.kind for finding in findings}
        if kinds - {"ok", "unreachable"}:
            return Exit.FAILED
        return Exit.UNREACHABLE if "unreachable" in kinds else Exit.OK

    async def findings(self) -> list[Finding]:
        """What is so now; what agrees is remembered."""
        others = self._others()
        return [finding for log in self._logs for finding in await self._look(log, others)]

    async def _look(self, log: Log, others: Sequence[Seen]) -> list[Finding]:
        try:
            note = self._memory.notes.get(log.name)
            kept = self._monitor.seen(note) if note else None
            latest, findings = await self._monitor.look(log, kept, others, datetime.now(UTC))
        except OnwardError as error:
            return [Finding(log.name, "unreachable", error.message)]
        except NotVerifiedError as error:
            return [Finding(log.name, "unsigned", str(error))]
        if latest is not None and latest != kept:
            self._memory.notes[log.name] = latest.note
            self._memory.save()
        return findings

    def _others(self) -> list[Seen]:
        """What others were shown; read each time, since they go on."""
        found = []
        for note in [note for path in self._compare for note in read_notes(path)]:
            try:
                found.append(self._monitor.seen(note))
            except NotVerifiedError as error:
                warn(f"a checkpoint to compare with is passed over: {error}")
        return found

    def _tell(self, finding: Finding) -> None:
        if self._as_json:
            at = datetime.now(UTC).isoformat(timespec="seconds")
            told = {"time": at, "log": finding.log, "kind": finding.kind, "message": finding.message}
            print_json_line({**told, **({"checkpoints": list(finding.notes)} if finding.notes else {})})
            return
        mark = {"ok": ("✓ ", "green"), "unreachable": ("? ", "yellow")}.get(finding.kind, ("✗ ", "red"))
        say_line(styled(mark, (finding.log, "bold"), f": {finding.message}"))
        for note in finding.notes:
            say(note, style="dim")


@asynccontextmanager
async def _logs(options: Options) -> AsyncIterator[list[Log]]:
    async with AsyncExitStack() as stack:
        logs: list[Log] = []
        for workspace in _workspaces(options):
            session = await stack.enter_async_context(Session(replace(options, workspace=workspace)))
            stub = audit_stub(session)
            logs.append(WorkspaceLog(stub, workspace))
            if workspace == SYSTEM_WORKSPACE:
                logs.append(HeadsLog(stub))
        yield logs


def _workspaces(options: Options) -> list[str]:
    if options.workspace:
        return [options.workspace]
    known = ClientFile(options.data / "client.json").read().get("workspaces", {})
    if options.token or not known:
        raise UsageError("name the workspace with --workspace, and its token with --token")
    return sorted(known)


async def _key(trusted: str, logs: Sequence[Log]) -> str:
    """What is trusted, or at first what a service says of itself."""
    if trusted:
        return trusted
    for log in logs:
        if shown := await log.checkpoint(0):
            warn(
                f"the key {shown[1]} is the service's own word: compare it with what you were told, or name it by --key"
            )
            return shown[1]
    raise CommandError("no checkpoint was made yet, so that no key is known: name it with --key, or come back later")


def _trusted(key: str, gap: str) -> Monitor:
    try:
        return Monitor(Key(key), timedelta(seconds=parse_duration(gap)))
    except NotVerifiedError as error:
        raise UsageError(str(error)) from None
