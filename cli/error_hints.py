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
_SETTING = re.compile(r"the setting `(.+)` must be a (string|boolean|list of strings|map of strings)")
_FORMS = {
    "string": "=text",
    "boolean": ":=true",
    "list of strings": ':=["Signed Up", "Order Completed"]',
    "map of strings": ':={"key": "value"}',
}


def error_hint(name: str, message: str) -> str:
    """A sentence for people, or nothing."""
    if name == "InvalidSettings" and (setting := _SETTING.fullmatch(message)):
        return f"On the command line: '{setting[1]}{_FORMS[setting[2]]}'"
    found = (hint for kind, pattern, hint in _HINTS if name == kind and pattern.fullmatch(message))
    return next(found, "")
