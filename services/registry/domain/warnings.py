"""What the author of code should look at. Found by simple patterns: a warning never stops a save.

It must be cheap and safe on any text: every pattern is linear and looks at one line at a time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from onward.registry.v1 import function_service_pb2

# More would bury the first ones.
WARNINGS_MAX = 50
# Minified lines have no use for warnings, and their length would cost time.
LINE_LENGTH_MAX = 2000

# Prefixes that well-known services give their keys, then enough characters to be one.
_KEY_PREFIX = re.compile(
    r"""["'`](?:sk_live_|sk_test_|rk_live_|pk_live_|xox[abprs]-|gh[pousr]_|github_pat_|glpat-|AKIA|ASIA|AIza|SG\.|key-"""
    r"""|EAA|onw_|Bearer |Basic )[A-Za-z0-9_\-./+=]{8,}["'`]"""
)
# `apiKey = "..."`: a name that speaks of secrets, given a literal of eight characters or more.
_KEY_ASSIGNMENT = re.compile(
    r"""(?:api_?key|secret|passw(?:or)?d|token|credential)["']?\s{0,4}[:=]\s{0,4}["'`][^"'`\s]{8,}["'`]""",
    re.IGNORECASE,
)
# A literal of 32 or more hex digits or 40 or more base64 characters is rarely anything but a key.
_KEY_SHAPE = re.compile(
    r"""["'`](?:[0-9a-fA-F]{32,}|(?=[^"'`]*[0-9])(?=[^"'`]*[A-Z])[A-Za-z0-9+/_\-]{40,}={0,2})["'`]"""
)
_LOGS_WHOLE = re.compile(
    r"""console\s?\.\s?(?:log|info|warn|error|debug|dir|trace|table)\s?\((?:[^()]*,)?\s{0,4}"""
    r"""(?:JSON\.stringify\(\s{0,4})?(?P<what>event|settings)\s{0,4}[,)]"""
)


def find_warnings(code: str, handlers: Iterable[str]) -> list[function_service_pb2.CodeWarning]:
    """At most WARNINGS_MAX warnings: first those about the whole code, then by line."""
    found = [*_about_all(handlers), *_about_lines(code)]
    return found[:WARNINGS_MAX]


def _about_all(handlers: Iterable[str]) -> Iterator[function_service_pb2.CodeWarning]:
    if not any(handlers):
        yield function_service_pb2.CodeWarning(
            rule="no-handler",
            message="The code defines no handler, so every event will fail as unsupported: define onTrack, "
            "onIdentify, onPage, onScreen, onGroup, onAlias or onDelete.",
        )


def _about_lines(code: str) -> Iterator[function_service_pb2.CodeWarning]:
    for number, line in enumerate(code.split("\n"), start=1):
        if len(line) > LINE_LENGTH_MAX:
            continue
        if _KEY_PREFIX.search(line) or _KEY_ASSIGNMENT.search(line) or _KEY_SHAPE.search(line):
            yield function_service_pb2.CodeWarning(
                rule="literal-key",
                message="This looks like a key. Keep it in an encrypted setting: whoever views code sees it.",
                line=number,
            )
        if match := _LOGS_WHOLE.search(line):
            yield function_service_pb2.CodeWarning(
                rule=f"logs-{match['what']}",
                message=f"This logs the whole {match['what']}. Logs are kept and shown: log what you need.",
                line=number,
            )
