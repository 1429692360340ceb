"""What the Merkle log checks of itself when the operator asks."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from kit.clock import Clock
from kit.postgres.pool import Pool
from kit.status.check import Check, Probe, counted, failure, ok, warning
from kit.status.lag import judge_lag, still_behind
from services.audit.handlers.trees import queries
from services.audit.settings import Settings

# Beside what the settings allow: a round that is on its way.
ROUND_S = 30.0

KEY_ADVICE = "set ONWARD_AUDIT_SIGNING_KEY: without it nobody can prove that the trail was left alone"
TREE_ADVICE = "it catches up by itself, unless its log says trees_not_grown"
SIGN_ADVICE = "the log of the service says trees_not_grown and why"
FOLDER_ADVICE = "make it writable for the service: until then no checkpoint is made"


def log_probes(settings: Settings, clock: Clock, pool: Pool) -> list[Probe]:
    """Whether trees follow the records, are signed, and their checkpoints can be kept."""

    async def records() -> Mapping[str, int]:
        return {row["workspace"]: row["index"] for row in await pool.fetch(queries.record_heads)}

    async def sizes() -> Mapping[str, int]:
        return {row["workspace"]: row["size"] for row in await pool.fetch(queries.sizes)}

    async def trees() -> Sequence[Check]:
        known = await records()
        return [judge_lag("trees", await still_behind(known, sizes), len(known), TREE_ADVICE)]

    async def checkpoints() -> Sequence[Check]:
        if settings.audit_signing_key is None:
            return [warning("checkpoints", "the trail is not signed", KEY_ADVICE)]
        row = await pool.fetchrow(queries.uncovered)
        late_s = settings.audit_checkpoint_seconds + ROUND_S
        signed = judge_signing(row["workspace"] if row else "", row["since"] if row else None, clock.now(), late_s)
        folder = settings.audit_checkpoint_folder
        return [signed, *([await asyncio.to_thread(judge_folder, folder)] if folder else [])]

    return [Probe("trees", trees), Probe("checkpoints", checkpoints)]


def judge_signing(workspace: str, since: datetime | None, now: datetime, late_s: float) -> Check:
    """Judge by the first record that no checkpoint covers."""
    waited_s = (now - since).total_seconds() if since else 0.0
    if waited_s <= late_s:
        return ok("checkpoints", "all that was recorded is signed, or will be in a moment")
    waited = counted(int(waited_s), "second")
    return failure("checkpoints", f"{workspace} has records that are not signed for {waited}", SIGN_ADVICE)


def judge_folder(folder: Path) -> Check:
    """Write a file there, as a checkpoint is written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"checkpoint")
    except OSError as error:
        return failure("checkpoint_folder", f"{folder} can't be written ({error.strerror})", FOLDER_ADVICE)
    return ok("checkpoint_folder", f"checkpoints are kept in {folder}")
