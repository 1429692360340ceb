"""What a monitor remembers: the last note of each log, and the key that it trusts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson

from cli.failures import CommandError

VERSION = 1


class Memory:
    """One file, replaced as a whole and synced, so that a crash leaves the last memory or the one before."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.key = ""
        self.notes: dict[str, str] = {}

    def load(self) -> None:
        """Read it, if it is there. Raises CommandError: to begin anew would be to forget."""
        try:
            content = orjson.loads(self.path.read_bytes())
            self.key, self.notes = _checked(content)
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CommandError(
                f"{self.path} is no memory of a monitor ({error}): restore it from a copy, since a new one knows"
                " nothing of what was signed before"
            ) from None

    def save(self) -> None:
        """Raises CommandError where it can't be kept."""
        content = {"version": VERSION, "key": self.key, "checkpoints": self.notes}
        scratch = self.path.with_name(f"{self.path.name}.new")
        try:
            with scratch.open("wb") as file:
                file.write(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(self.path)
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise CommandError(f"{self.path} can't be written ({error.strerror}): a monitor must remember") from None


def _checked(content: Any) -> tuple[str, dict[str, str]]:
    if content["version"] != VERSION:
        raise ValueError(f"of version {content['version']}")
    notes = {str(name): str(note) for name, note in content["checkpoints"].items()}
    return str(content["key"]), notes


def read_notes(path: Path) -> list[str]:
    """The notes in a checkpoint's file, a folder of such, or another monitor's memory. Raises CommandError."""
    try:
        if path.is_dir():
            return [one.read_text("utf-8") for one in sorted(path.rglob("*.checkpoint"))]
        text = path.read_text("utf-8")
        return list(_checked(orjson.loads(text))[1].values()) if text.startswith("{") else [text]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CommandError(f"{path} holds no checkpoints: {error}") from None
