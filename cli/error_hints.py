"""What to do about errors of user code whose words, which are Node's, do not say it."""

from __future__ import annotations

import re

PACKAGES = "Packages can't be loaded. Use fetch for HTTP, and the globals that `onward functions types` lists."
NOT_NODE = "A function has no process and no files: its settings are the handler's second argument."
UNKNOWN = "`onward functions types` lists the globals that there are."

# Name, pattern of the message, hint.
_HINTS = (
    ("ReferenceError", re.compile(r"require is not defined"), PACKAGES),
    ("ReferenceError", re.compile(r"axios is not defined"), PACKAGES),
    ("Error", re.compile(r"Not supported"), PACKAGES),
    ("ReferenceError", re.compile(r"(?:process|fs) is not defined"), NOT_NODE),
    ("ReferenceError", re.compile(r"[\w$]+ is not defined"), UNKNOWN),
)


def error_hint(name: str, message: str) -> str:
    """A sentence for people, or nothing."""
    found = (hint for kind, pattern, hint in _HINTS if name == kind and pattern.fullmatch(message))
    return next(found, "")
