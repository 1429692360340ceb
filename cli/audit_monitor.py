"""Watches the trail's signed logs from outside: what was signed must stay the beginning of what is signed later.

It trusts neither the service nor its database, only its own memory and the signing key; with the key stolen as well,
its memory and that of other monitors still tell. It shares nothing with what writes the trail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol, TypeAlias

from cli.audit_verifier import Checkpoint, Key, NotVerifiedError, is_consistent, read_checkpoint

Kind: TypeAlias = Literal["ok", "shrunk", "inconsistent", "equivocation", "unsigned", "gap", "unreachable"]
# Of what others have kept, the latest: each that differs in size costs a proof.
COMPARED_MAX = 50


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look at one log gave, in words; `notes` are the checkpoints that prove it."""

    log: str
    kind: Kind
    message: str
    notes: tuple[str, ...] = ()


class Log(Protocol):
    """A log as its service shows it; raises OnwardError."""

    name: str

    async def checkpoint(self, size: int) -> tuple[str, str] | None:
        """The latest note, or the first of at least a size, and the key that it is said to be signed with."""

    async def consistency(self, old_size: int, size: int) -> Sequence[bytes] | None:
        """The hashes of a proof; None where the service says that it has no such trees."""

    async def last_record(self) -> int:
        """The index of the last record, covered or not; 0 for none."""

    async def recorded_at(self, index: int) -> datetime | None:
        """When a record was made; None where it is not there."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A note that was verified, with what it says."""

    note: str
    checkpoint: Checkpoint


class Monitor:
    """Looks at logs, given what is remembered of each."""

    def __init__(self, key: Key, gap_max: timedelta) -> None:
        self._key = key
        self._gap_max = gap_max

    def seen(self, note: str) -> Seen:
        """A note that was signed; raises NotVerifiedError."""
        return Seen(note, read_checkpoint(note, self._key))

    async def look(
        self, log: Log, kept: Seen | None, others: Sequence[Seen], now: datetime
    ) -> tuple[Seen | None, list[Finding]]:
        """What is to be remembered from now on, and what was found; only what agrees replaces what was kept."""
        shown = await log.checkpoint(0)
        if shown is None:
            gone = [self._gone(log, kept)] if kept else []
            return kept, gone or await self._late(log, 0, now)
        try:
            latest = self.seen(shown[0])
        except NotVerifiedError as error:
            return kept, [Finding(log.name, "unsigned", str(error), (shown[0],))]
        if latest.checkpoint.origin != self._origin(log):
            told = f"the checkpoint is of {latest.checkpoint.origin}, and {self._origin(log)} was asked for"
            return kept, [Finding(log.name, "unsigned", told, (latest.note,))]
        faults = await self._disagreement(log, kept, latest) if kept else []
        for other in self._comparable(log, others):
            faults += await self._disagreement(log, other, latest)
        if faults:
            return kept, faults
        return latest, await self._lateness(log, kept, latest, now) or [self._well(log, kept, latest)]

    def _origin(self, log: Log) -> str:
        return f"{self._key.name}/{log.name}"

    def _comparable(self, log: Log, others: Sequence[Seen]) -> Sequence[Seen]:
        found = [one for one in others if one.checkpoint.origin == self._origin(log)]
        return sorted(found, key=lambda one: one.checkpoint.size)[-COMPARED_MAX:]

    async def _disagreement(self, log: Log, one: Seen, other: Seen) -> list[Finding]:
        """Nothing where the smaller of two trees is the beginning of the larger."""
        kept, latest = one.checkpoint, other.checkpoint
        notes = (one.note, other.note)
        if kept.size == latest.size:
            if kept.root == latest.root:
                return []
            told = f"two different trees of {kept.size} records were signed: not everybody is shown the same trail"
            return [Finding(log.name, "equivocation", told, notes)]
        if kept.size > latest.size:
            told = f"a tree of {kept.size} records was signed, and the latest that the service shows has {latest.size}"
            return [Finding(log.name, "shrunk", told, notes)]
        hashes = await log.consistency(kept.size, latest.size)
        if hashes is not None and is_consistent(kept, latest, hashes):
            return []
        told = (
            f"the tree of {latest.size} records does not begin with that of {kept.size} which was signed before:"
            " records were altered, removed or put in between"
        )
        return [Finding(log.name, "inconsistent", told, notes)]

    def _gone(self, log: Log, kept: Seen) -> Finding:
        told = f"a tree of {kept.checkpoint.size} records was signed, and the service shows none any more"
        return Finding(log.name, "shrunk", told, (kept.note,))

    async def _lateness(self, log: Log, kept: Seen | None, latest: Seen, now: datetime) -> list[Finding]:
        """For how long records were without a checkpoint: between two looks, and at present."""
        size = latest.checkpoint.size
        if (last := await log.last_record()) < size:
            told = f"a checkpoint covers {size} records, and the service shows {last}: records are missing"
            return [Finding(log.name, "shrunk", told, (latest.note,))]
        found = await self._late(log, size, now) if last > size else []
        if kept and kept.checkpoint.size < size:
            found += await self._was_late(log, kept.checkpoint.size + 1)
        return found

    async def _late(self, log: Log, covered: int, now: datetime) -> list[Finding]:
        """Whether the first record without a checkpoint is so for too long."""
        since = await log.recorded_at(covered + 1)
        if since is None or now - since <= self._gap_max:
            return []
        told = f"no checkpoint was made for {_span(now - since)}, although there are records from {covered + 1} on"
        return [Finding(log.name, "gap", told)]

    async def _was_late(self, log: Log, index: int) -> list[Finding]:
        """Whether a record that was not covered at the last look waited too long for its checkpoint."""
        since, first = await log.recorded_at(index), await log.checkpoint(index)
        if since is None or first is None:
            return []
        signed = self.seen(first[0]).checkpoint
        if signed.time is None or signed.time - since <= self._gap_max:
            return []
        told = f"no checkpoint was made for {_span(signed.time - since)}, until the one of {signed.size} records"
        return [Finding(log.name, "gap", told, (first[0],))]

    def _well(self, log: Log, kept: Seen | None, latest: Seen) -> Finding:
        size = latest.checkpoint.size
        if kept is None:
            return Finding(log.name, "ok", f"{size} records are signed; remembered from now on")
        grown = size - kept.checkpoint.size
        return Finding(log.name, "ok", f"{size} records are signed, {grown} of them since the last look")


def _span(span: timedelta) -> str:
    return str(timedelta(seconds=int(span.total_seconds())))
