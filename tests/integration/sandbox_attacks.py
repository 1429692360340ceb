"""The scripts of tests/attacks, which try to leave the isolate or to harm what is beside them.

`python -m tests.integration.sandbox_attacks` prints the table of docs/security.md.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "attacks"
_HEAD = re.compile(r"// Tries: (?P<tries>.*)\n// Meets: (?P<meets>.*)\n")


@dataclass(frozen=True, slots=True)
class Attack:
    """`tries` says what, `meets` what stops it, both in the words of the table."""

    name: str
    tries: str
    meets: str
    code: str


def attacks() -> list[Attack]:
    """All of them, by name."""
    return [_read(path) for path in sorted(FOLDER.glob("[a-z]*.js"))]


def _read(path: Path) -> Attack:
    text = path.read_text()
    head = _HEAD.match(text)
    assert head, f"{path.name} does not begin with what it tries and what it meets"
    return Attack(path.stem, head["tries"], head["meets"], text[head.end() :])


def script_of(attack: Attack) -> str:
    """The whole script; it holds its own text, by which it tells functions of its own from ours."""
    code = (FOLDER / "_around.js").read_text().replace("// ATTACK\n", attack.code)
    return code.replace("TEXT", json.dumps(code), 1)


def table() -> str:
    """The rows for docs/security.md."""
    return "\n".join(f"| `{one.name}` | {one.tries} | {one.meets} |" for one in attacks())


if __name__ == "__main__":
    print(table())
