"""Where a script is wrong, in its author's own lines: from what V8 says in the worker to what the executor tells."""

from __future__ import annotations

import re
from typing import Any, Final

from services.executor.runtime.jobs import CodeError
from services.executor.runtime.v8 import PARSE_ERROR, V8Error

_POSITION: Final = re.compile(r"function\.js:(\d+):(\d+)")
_PARSE_ERROR: Final = re.compile(r"^[^\n]*?:(\d+): ([^\n]*)\n")
_CARET: Final = re.compile(r"^( *)\^", re.MULTILINE)
# What V8 counts as the end of a line.
_LINE_END: Final = re.compile(r"\r\n|[\n\r\u2028\u2029]")

# What V8 says where a script asks for packages -> what there is instead.
_PACKAGES: Final = re.compile(
    r"\brequire is not (?:defined|a function)|import statement outside a module|'import\.meta'"
)
_EXPORTS: Final = re.compile(r"Unexpected token 'export'")
_TOP_LEVEL_AWAIT: Final = re.compile(r"await is only valid in async functions")
_HINTS: Final = (
    (_PACKAGES, "packages can't be loaded: use fetch for HTTP, and the globals that `onward functions types` lists"),
    (_EXPORTS, "a function is a script, not a module: write `function onTrack(...)` without export"),
    (_TOP_LEVEL_AWAIT, "make the function around it async; the top level can't wait"),
)


def hinted(message: str) -> str:
    """The message, and what to do where V8's words do not say it."""
    hint = next((hint for pattern, hint in _HINTS if pattern.search(message)), "")
    return f"{message} ({hint})" if hint else message


def compile_error(error: V8Error, columns: int) -> dict[str, Any]:
    """Message and position of a syntax error; `columns` stand before the user's first line."""
    text = error.text
    found = _PARSE_ERROR.match(text)
    if error.kind != PARSE_ERROR or found is None:
        return {"name": "SyntaxError", "message": str(error).partition("\n")[0], "line": 1, "column": 1}
    # V8 quotes the line of the user's, which may begin like the caret's: the last one is V8's.
    carets = _CARET.findall(text, found.end())
    line, caret = int(found[1]), len(carets[-1]) + 1 if carets else 1
    name, _, message = found[2].partition(": ")
    return {"name": name, "message": message, "line": line, "column": caret - columns if line == 1 else caret}


def position_of(stack: str) -> dict[str, int]:
    """Line and column of the topmost frame of the user's."""
    found = _POSITION.search(stack)
    return {"line": int(found[1]), "column": int(found[2])} if found else {"line": 1, "column": 1}


def code_error(code: str, error: dict[str, Any]) -> CodeError:
    """Place an error within the user's own lines: V8 finds an unclosed bracket in what we put around them."""
    line, column = error.get("line"), error.get("column")
    lines = _LINE_END.split(code)
    if line is not None and line > len(lines):
        line, column = len(lines), len(lines[-1]) + 1
    return CodeError(hinted(f"{error['name']}: {error['message']}"), line, column, compiled="compiled" in error)
