"""Checkpoints outside of Postgres: a file each, for whoever does not trust the database."""

from __future__ import annotations

import os
from pathlib import Path


class CheckpointFolder:
    """`<folder>/<workspace>/<size>.checkpoint`, twelve digits; a file is never changed.

    A tree that was rebuilt beside it has another root for a size that is there, or no consistency with it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, workspace: str, size: int, note: str) -> None:
        """Write a checkpoint, durably, unless it is there. Raises OSError."""
        # Ids are safe as names of files; see kit.rpc.names.
        folder = self._folder / workspace
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{size:012d}.checkpoint"
        if path.exists():
            return
        temporary = path.with_suffix(".tmp")
        with temporary.open("w", encoding="utf-8") as file:
            file.write(note)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
