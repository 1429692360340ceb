"""Resource names, as in AIP-122: `workspaces/{workspace}/functions/{function}`."""

import re
import unicodedata

from kit.errors import InvalidArgument

ID_LENGTH_MAX = 63
# The longest name has three ids and fixed words.
NAME_LENGTH_MAX = 512

_ID = r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"
# Ids that Onward makes: tokens, bindings, deliveries.
_MADE = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
# Counted from 1 and, in the log, from 0; within 64 bits.
_NUMBER = r"0|[1-9][0-9]{0,17}"
_KINDS = {"id": _ID, "made": _MADE, "number": _NUMBER}
_VARIABLE = re.compile(r"\{(\w+)(?::(\w+))?\}")
_ID_PATTERN = re.compile(_ID)


class NameTemplate:
    """One kind of resource name, such as `workspaces/{workspace}/functions/{function}/versions/{version:number}`.

    A variable is an id that callers choose unless it is marked as `:made` (by Onward) or `:number`.
    """

    def __init__(self, template: str) -> None:
        self.text = _VARIABLE.sub(lambda m: "{" + m[1] + "}", template)
        self._pattern = re.compile(_VARIABLE.sub(lambda m: f"({_KINDS[m[2] or 'id']})", template))

    def parse(self, name: str, field: str = "name") -> tuple[str, ...]:
        """The variables' values in order; `InvalidArgument` about `field` if `name` is of another form."""
        match = self._pattern.fullmatch(name) if len(name) <= NAME_LENGTH_MAX else None
        if match is None:
            raise malformed(field, f"must be of the form {self.text}")
        return match.groups()

    def matches(self, name: str) -> bool:
        """Whether `name` is of this form."""
        return len(name) <= NAME_LENGTH_MAX and self._pattern.fullmatch(name) is not None

    def format(self, *values: str | int) -> str:
        """The name made of these values, in order."""
        parts = _VARIABLE.split(self.text)
        variables = (len(parts) - 1) // 3
        if len(values) != variables:
            raise TypeError(f"{self.text} takes {variables} values, not {len(values)}")
        name = "".join(str(values[i // 3]) if i % 3 == 1 else part for i, part in enumerate(parts) if i % 3 != 2)
        assert self.matches(name), f"{name!r} is not of the form {self.text}"
        return name


WORKSPACE = NameTemplate("workspaces/{workspace}")
MEMBER = NameTemplate("workspaces/{workspace}/members/{member:made}")
TOKEN = NameTemplate("workspaces/{workspace}/tokens/{token:made}")
ROLE_BINDING = NameTemplate("workspaces/{workspace}/roleBindings/{binding:made}")
FUNCTION = NameTemplate("workspaces/{workspace}/functions/{function}")
VERSION = NameTemplate("workspaces/{workspace}/functions/{function}/versions/{version:number}")
SOURCE = NameTemplate("workspaces/{workspace}/sources/{source}")
WRITE_KEY = NameTemplate("workspaces/{workspace}/sources/{source}/writeKeys/{key:made}")
DESTINATION = NameTemplate("workspaces/{workspace}/destinations/{destination}")
FILTER = NameTemplate("workspaces/{workspace}/destinations/{destination}/filters/{filter:made}")
SOURCE_FILTER = NameTemplate("workspaces/{workspace}/sources/{source}/filters/{filter:made}")
WORKSPACE_FILTER = NameTemplate("workspaces/{workspace}/filters/{filter:made}")
DELIVERY = NameTemplate("workspaces/{workspace}/deliveries/{delivery:made}")
ATTEMPT = NameTemplate("workspaces/{workspace}/deliveries/{delivery:made}/attempts/{attempt:number}")
REPLAY = NameTemplate("workspaces/{workspace}/replays/{replay:made}")
SUBSCRIPTION = NameTemplate("workspaces/{workspace}/subscriptions/{subscription:made}")
AUDIT_EVENT = NameTemplate("workspaces/{workspace}/auditEvents/{index:number}")

_IN_WORKSPACE = re.compile(rf"workspaces/({_ID})(?:/[A-Za-z]{{1,32}}/{_MADE}){{0,3}}")


def workspace_of(name: str, field: str = "name") -> str:
    """The id of the workspace that a resource of any kind belongs to."""
    match = _IN_WORKSPACE.fullmatch(name) if len(name) <= NAME_LENGTH_MAX else None
    if match is None:
        raise malformed(field, "must be a resource name that begins with workspaces/{workspace}")
    return match[1]


def is_id(text: str) -> bool:
    """Whether `text` may be the id of a workspace, function, source or destination."""
    return _ID_PATTERN.fullmatch(text) is not None


def slug(display_name: str, fallback: str) -> str:
    """An id made from a display name: "Slack – Alerts!" gives "slack-alerts".

    `fallback` (such as "function") is put before what does not begin with a letter, and stands alone where no
    letter or digit of ASCII is left.
    """
    assert is_id(fallback)
    folded = unicodedata.normalize("NFKD", display_name).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", folded).strip("-")
    if not words[:1].isalpha():
        words = f"{fallback}-{words}"
    return words[:ID_LENGTH_MAX].strip("-")


def numbered(slug_text: str, number: int) -> str:
    """The same id with a number after it, for when it is taken."""
    suffix = f"-{number}"
    return slug_text[: ID_LENGTH_MAX - len(suffix)].rstrip("-") + suffix


def malformed(field: str, description: str) -> InvalidArgument:
    """The error that says what is wrong with one field."""
    return InvalidArgument(f"{field} {description}.", violations=[(field, description)])
