"""What a client of this machine's stack needs, in one file that only its owner can read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class ClientFile:
    """`client.json` of a data folder: addresses, whom to trust, operator's and owners' tokens, write keys."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, Any]:
        """Give what it holds; empty where it does not exist. Raises ValueError where it is damaged."""
        if not self.path.is_file():
            return {}
        content = json.loads(self.path.read_text())
        if not isinstance(content, dict):
            raise ValueError(f"{self.path} is damaged: delete it and run `onward up` again")
        return content

    def update(self, **values: Any) -> None:
        self._write(self.read() | values)

    def add_workspace(self, workspace: str, token: str) -> None:
        content = self.read()
        content.setdefault("workspaces", {})[workspace] = token
        self._write(content)

    def add_write_key(self, workspace: str, source: str, key: str) -> None:
        content = self.read()
        content.setdefault("write_keys", {})[f"{workspace}/{source}"] = key
        self._write(content)

    def remove_write_key(self, workspace: str, source: str) -> None:
        content = self.read()
        if content.get("write_keys", {}).pop(f"{workspace}/{source}", None) is not None:
            self._write(content)

    def _write(self, content: dict[str, Any]) -> None:
        """Replace the file as a whole, so that a reader never sees half of it."""
        scratch = self.path.with_suffix(".new")
        scratch.unlink(missing_ok=True)
        fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w") as file:
            json.dump(content, file, indent=2)
        scratch.rename(self.path)
