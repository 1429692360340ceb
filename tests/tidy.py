"""The style page as a check: sizes, names and things that must not stand in any file.

`python tests/tidy.py` prints each breach as `file:line: what` and exits 1 when there is one.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Numbers of the style page: what fits on a screen, and what has one subject.
FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 600
VAGUE_NAMES = {"utils", "helpers", "common", "base", "manager", "misc"}
GENERATED = ("gen/", "build/")
# Words that must not stand in any file: addresses of registries, folders of one machine, unfinished work.
FORBIDDEN = [
    (re.compile(r"python" r"hosted|npm" r"js\.(org|com)|pyp" r"i\.org|deb\.debi" r"an"), "a registry's address"),
    (re.compile(r"/wor" + r"k/(main|shared|steering|\.)"), "a path of one machine"),
    (re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b"), "unfinished work: finish it or open an issue"),
    (re.compile(r"BEGIN [A-Z ]*PRIVATE KEY" + r"-----\n?[A-Za-z0-9+/=]{40}"), "a private key"),
]
# A `type: ignore` without a reason hides a mistake.
BARE_IGNORE = re.compile(r"#\s*type:\s*ignore(\[[\w, -]+\])?\s*$")


def tracked() -> list[Path]:
    """List the files under version control, and those that are about to be."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    return [ROOT / name for name in names.decode().split("\0") if name and (ROOT / name).is_file()]


def breaches(path: Path) -> Iterator[tuple[int, str]]:
    name = str(path.relative_to(ROOT))
    try:
        text = path.read_text()
    except UnicodeDecodeError:
        return
    for pattern, what in FORBIDDEN:
        for found in pattern.finditer(text):
            yield text.count("\n", 0, found.start()) + 1, what
    if path.suffix == ".py" and not name.startswith(GENERATED):
        yield from python_breaches(path, text)


def python_breaches(path: Path, text: str) -> Iterator[tuple[int, str]]:
    lines = text.count("\n")
    if lines > MODULE_LINES_MAX:
        yield 1, f"{lines} lines; a module has at most {MODULE_LINES_MAX}"
    if path.stem in VAGUE_NAMES:
        yield 1, f"`{path.stem}` says nothing about what is in it"
    for number, line in enumerate(text.splitlines(), 1):
        if BARE_IGNORE.search(line):
            yield number, "`type: ignore` without a reason beside it"
    yield from long_functions(ast.parse(text))


def long_functions(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = (node.end_lineno or node.lineno) - node.lineno + 1
            if size > FUNCTION_LINES_MAX:
                yield node.lineno, f"`{node.name}` has {size} lines; a function has at most {FUNCTION_LINES_MAX}"


def main() -> int:
    found = 0
    for path in tracked():
        for line, what in breaches(path):
            print(f"{path.relative_to(ROOT)}:{line}: {what}")
            found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
