"""What is evaluated in a new isolate: the prelude, and the libraries that a script names; or what checks a script."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

# The operation of `hostSync` by which libraries fetch their parts; js/library_parts.js has the same number.
LIBRARY_PART: Final = 1
# js/main.js asks for it.
_FORBID_EVAL: Final = "globalThis.__forbidCodeOfStrings=true;"


@dataclass(frozen=True, slots=True)
class Library:
    """A package that is evaluated only for scripts whose text contains its global."""

    name: str
    mentioned: re.Pattern[str]
    source: str


@dataclass(frozen=True, slots=True)
class Prelude:
    """All texts, read once by the zygote."""

    source: str
    libraries: tuple[Library, ...]
    checker: str
    parts: Mapping[bytes, bytes]

    def libraries_for(self, code: str) -> list[Library]:
        """Those that the script names."""
        return [library for library in self.libraries if library.mentioned.search(code)]

    def part(self, name: bytes) -> bytes:
        """A text that is fetched when it is first needed, by `<package>/<name>`; the prelude's own are in `modules`."""
        try:
            return self.parts[name]
        except KeyError:
            raise ValueError(f"there is no part {name.decode('ascii', 'replace')}") from None


def read_prelude(folder: Path, *, allow_eval: bool = True) -> Prelude:
    """Read what build.mjs has written. A missing file is an OSError: the runtime was not built."""
    source = ("" if allow_eval else _FORBID_EVAL) + (folder / "prelude.js").read_text("utf-8")
    manifest = _manifest(folder)
    lazy = _lazy(manifest)
    libraries = tuple(_library(folder, entry["global"], entry["file"]) for entry in lazy)
    checker = (folder / "check.js").read_text("utf-8")
    parts = {name: content for entry in lazy for name, content in _parts(folder, entry["package"], entry).items()}
    parts |= _parts(folder, "modules", {"parts": manifest.get("modules", ())})
    return Prelude(_named(source, "prelude"), libraries, _named(checker, "check"), parts)


def read_mentions(folder: Path) -> dict[str, re.Pattern[str]]:
    """By what a script names each library, by its global. A missing file is an OSError: the runtime was not built."""
    return {entry["global"]: _mention(entry["global"]) for entry in _lazy(_manifest(folder))}


def _manifest(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / "packages.json").read_text("utf-8"))
    return manifest


def _lazy(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry for entry in manifest["packages"] if entry.get("file")]


def _library(folder: Path, name: str, file: str) -> Library:
    return Library(name, _mention(name), _named((folder / file).read_text("utf-8"), name))


def _mention(name: str) -> re.Pattern[str]:
    # Not \b: in JavaScript `$` is a letter too.
    return re.compile(rf"(?<![\w$]){re.escape(name)}(?![\w$])")


def _parts(folder: Path, kind: str, entry: dict[str, Any]) -> dict[bytes, bytes]:
    names = [f"{kind}/{name}" for name in entry.get("parts", ())]
    return {name.encode(): (folder / "parts" / name).read_bytes() for name in names}


def _named(source: str, name: str) -> str:
    """Stack traces recognise our frames by this name."""
    return f"{source}\n//# sourceURL=onward:{name}"
