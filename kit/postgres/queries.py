"""SQL lives in `queries.sql` files, as named statements that an editor colours and psql takes.

-- name: list_functions
SELECT ... WHERE workspace = $1
"""

import re
from pathlib import Path

_NAME = re.compile(r"^--\s*name:\s*(?P<name>[a-z][a-z0-9_]*)\s*$", re.MULTILINE)


class Queries:
    """Named statements as attributes: `queries.list_functions` is SQL text.

    A name that the file does not have raises AttributeError.
    """

    def __init__(self, statements: dict[str, str], source: str) -> None:
        self._statements = statements
        self._source = source

    def __getattr__(self, name: str) -> str:
        try:
            return self._statements[name]
        except KeyError:
            raise AttributeError(f"{self._source} has no statement named {name!r}") from None

    def __dir__(self) -> list[str]:
        return sorted(self._statements)


def load_queries(path: Path) -> Queries:
    """Read a file of named statements; a name given twice or an empty statement raises ValueError."""
    pieces = _NAME.split(path.read_text(encoding="utf-8"))
    statements: dict[str, str] = {}
    for name, body in zip(pieces[1::2], pieces[2::2], strict=True):
        statement = body.strip().rstrip(";").rstrip()
        if not statement:
            raise ValueError(f"{path}: statement {name} is empty")
        if name in statements:
            raise ValueError(f"{path}: statement {name} is defined twice")
        statements[name] = statement
    return Queries(statements, path.name)
