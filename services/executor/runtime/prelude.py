"""What is evaluated in a new isolate: the prelude, and the libraries that a script names; or what checks a script."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Library:
    """A package that is evaluated only for scripts whose text contains its global."""

    mentioned: re.Pattern[str]
    source: str


@dataclass(frozen=True, slots=True)
class Prelude:
    """All texts, read once by the zygote."""

    source: str
    libraries: tuple[Library, ...]
    checker: str

    def libraries_for(self, code: str) -> list[Library]:
        """Those that the script names."""
        return [library for library in self.libraries if library.mentioned.search(code)]


def read_prelude(folder: Path) -> Prelude:
    """Read what build.mjs has written. A missing file is an OSError: the runtime was not built."""
    source = (folder / "prelude.js").read_text("utf-8")
    manifest = json.loads((folder / "packages.json").read_text("utf-8"))
    lazy = [entry for entry in manifest["packages"] if entry.get("file")]
    libraries = tuple(_library(folder, entry["global"], entry["file"]) for entry in lazy)
    checker = (folder / "check.js").read_text("utf-8")
    return Prelude(_named(source, "prelude"), libraries, _named(checker, "check"))


def _library(folder: Path, name: str, file: str) -> Library:
    # Not \b: in JavaScript `$` is a letter too.
    mentioned = re.compile(rf"(?<![\w$]){re.escape(name)}(?![\w$])")
    return Library(mentioned, _named((folder / file).read_text("utf-8"), name))


def _named(source: str, name: str) -> str:
    """Stack traces recognise our frames by this name."""
    return f"{source}\n//# sourceURL=onward:{name}"
