"""Where a script is wrong, in words that say what to do."""

from __future__ import annotations

import pytest

from services.executor.runtime.script_errors import code_error


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("ReferenceError", "require is not defined", "use fetch for HTTP"),
        ("TypeError", "module.require is not a function", "use fetch for HTTP"),
        ("SyntaxError", "Cannot use import statement outside a module", "packages can't be loaded"),
        ("SyntaxError", "Unexpected token 'export'", "without export"),
        (
            "SyntaxError",
            "await is only valid in async functions and the top level bodies of modules",
            "around it",
        ),
    ],
)
def test_code_for_a_module_is_told_what_there_is_instead(name: str, message: str, hint: str) -> None:
    error = code_error("x", {"name": name, "message": message, "line": 1, "column": 1})
    assert error.message.startswith(f"{name}: {message} (")
    assert hint in error.message


def test_other_errors_are_left_in_node_s_words() -> None:
    assert code_error("x", {"name": "TypeError", "message": "a is not a function"}).message == (
        "TypeError: a is not a function"
    )
