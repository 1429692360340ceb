"""What a client presents to the server, and what it may then do."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime

from kit.auth.tokens import TOKEN_MARK, WRITE_KEY_MARK

# The account that holds the streams. Only services are in it.
ONWARD = "ONWARD"
# The server's own account: here it asks who may connect, and is told whom to disconnect.
SYSTEM = "SYS"
# As this user the registry is asked and told.
AUTH_USER = "auth"
# Publishers reach `events.>` of ONWARD, readers `facts.>`, and nothing else of it. They are not in ONWARD itself,
# since JetStream sends its acknowledgement to whatever reply subject a publisher names, without looking at the
# publisher's permissions: there, that could be a fact, an outcome, or a call of JetStream's API.
PUBLISHERS = "PUBLISHERS"
READERS = "READERS"
ACCOUNTS = (ONWARD, SYSTEM, PUBLISHERS, READERS)

# A client needs one subscription for all its answers; libraries make one or two more.
PUBLISHER_SUBSCRIPTIONS_MAX = 16
READER_SUBSCRIPTIONS_MAX = 64

_ID = re.compile(r"[a-z0-9]{4,32}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass(frozen=True, slots=True)
class Presented:
    """What the server says about a client that wants in. All but server and client id is the client's own word."""

    user: str
    password: str = field(repr=False)
    token: str = field(repr=False)
    host: str
    client_name: str
    # "Client" for what speaks NATS as one; also "Leafnode".
    kind: str
    server_id: str
    client_id: int

    @property
    def secret(self) -> str:
        """The key: the token, or else the password, whatever the user's name."""
        return self.token or self.password


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a client stays out. The server's log shows it; the client is told "Authorization Violation"."""

    reason: str


@dataclass(frozen=True, slots=True)
class Admission:
    """What a client may do: subjects to publish and subscribe to; an empty list allows none."""

    # What the connection is called from now on, and `Kicker.kick` finds it by. Not the secret.
    name: str
    account: str
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    subscriptions_max: int
    # The server closes the connection then.
    expires_at: datetime | None = None
    tags: tuple[str, ...] = ()


def inbox_prefix(name: str) -> str:
    """The prefix of a user's inboxes, for `nats.connect(inbox_prefix=...)`; nobody else may subscribe below it."""
    return f"_INBOX_{name}"


def publisher_name(key_id: str) -> str:
    """What the connections of a source's write key are called."""
    return f"{WRITE_KEY_MARK}{key_id}"


def reader_name(token_id: str) -> str:
    """What the connections of an API token are called."""
    return f"{TOKEN_MARK}{token_id}"


def admit_publisher(key_id: str, workspace: str, source: str, *, expires_at: datetime | None = None) -> Admission:
    """A write key publishes to its source and hears its own inbox, `_INBOX_<key id>.>`."""
    subject = f"events.{_checked(_TOKEN, workspace)}.{_checked(_TOKEN, source)}"
    inbox = f"{inbox_prefix(_checked(_ID, key_id))}.>"
    return Admission(publisher_name(key_id), PUBLISHERS, (subject,), (inbox,), PUBLISHER_SUBSCRIPTIONS_MAX, expires_at)


def admit_reader(token_id: str, workspace: str, *, expires_at: datetime | None = None) -> Admission:
    """A token reads its workspace's facts as they happen, and hears its own inbox, `_INBOX_<token id>.>`."""
    subjects = (f"facts.*.{_checked(_TOKEN, workspace)}.>", f"{inbox_prefix(_checked(_ID, token_id))}.>")
    return Admission(reader_name(token_id), READERS, (), subjects, READER_SUBSCRIPTIONS_MAX, expires_at)


def _checked(pattern: re.Pattern[str], text: str) -> str:
    """A wildcard or a dot in an id would allow more than was meant."""
    if pattern.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not an id, so it can't become part of a subject")
    return text
