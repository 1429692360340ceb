"""What a server wrote to its log since it was started, and what that says about why it ended."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kit.embedded.data_folder import explained
from kit.embedded.errors import EmbeddedError

# The cause of a failed start stands in the last lines; more would not fit into one line of ours.
TAIL_LINES = 4
TAIL_BYTES_MAX = 4096
# How Postgres, initdb and NATS mark what made them give up.
SERIOUS = re.compile(r"\b(FATAL|PANIC|ERROR|error):|\[(FTL|ERR)\]")


@dataclass(frozen=True)
class ServerLog:
    """The log file from the point where this start began."""

    path: Path
    offset: int

    @classmethod
    def begin(cls, path: Path) -> "ServerLog":
        with explained(path):
            return cls(path, path.stat().st_size if path.exists() else 0)

    def open(self) -> BinaryIO:
        with explained(self.path):
            return open(self.path, "ab", opener=_private)

    def tail(self) -> str:
        """The last lines of this start, of the serious ones if there are any, as one line."""
        with self.path.open("rb") as file:
            file.seek(max(self.offset, self.path.stat().st_size - TAIL_BYTES_MAX))
            lines = file.read().decode(errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        serious = [line for line in said if SERIOUS.search(line)]
        return " / ".join((serious or said)[-TAIL_LINES:])

    def failure(self, program: str, folder: Path) -> EmbeddedError:
        """The error for a program that ended while it was to start."""
        tail = self.tail()
        return EmbeddedError(f"{program} did not start: {_advice(tail, folder)} (log {self.path}: {tail})")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _advice(tail: str, folder: Path) -> str:
    text = tail.lower()
    if "no space left on device" in text or "file too large" in text or "disk quota exceeded" in text:
        return f"the disk that holds {folder} is full: free some space and start again"
    if "address already in use" in text:
        return "its port is taken by another program: stop that one, or choose another port"
    if "permission denied" in text or "read-only file system" in text:
        return f"it may not write to {folder}: make it writable or choose another folder with --data"
    return "see its last words"
