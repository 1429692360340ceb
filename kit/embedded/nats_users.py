"""Who may do what on the embedded NATS server."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class NatsUser:
    """A user and the subjects it may publish and subscribe to; None: all, empty: none."""

    name: str
    password: str
    publish: list[str] | None = None
    subscribe: list[str] | None = None

    def as_config(self) -> dict[str, Any]:
        permissions = {
            verb: {"allow": subjects} if subjects else {"deny": [">"]}
            for verb, subjects in (("publish", self.publish), ("subscribe", self.subscribe))
            if subjects is not None
        }
        entry: dict[str, Any] = {"user": self.name, "password": self.password}
        return entry | ({"permissions": permissions} if permissions else {})


# What a service needs to manage streams and to pull from and acknowledge to JetStream.
JETSTREAM = ["$JS.API.>", "$JS.ACK.>"]

# Each may also subscribe to its own inbox, `_INBOX_<name>.>`: connect with inbox_prefix(name). Nobody may
# subscribe to `_INBOX.>` or to another's inbox, where that one's events arrive.
#  name         may publish                                            may subscribe to
SERVICES: dict[str, tuple[list[str], list[str]]] = {
    "registry": ([*JETSTREAM, "facts.registry.>"],                     ["facts.>"]),
    "executor": ([*JETSTREAM, "outcomes.>"],                           ["events.>", "due.>", "facts.>"]),
    "delivery": ([*JETSTREAM, "due.>", "facts.delivery.>"],            ["facts.>"]),
    "audit":    ([*JETSTREAM],                                         ["facts.>"]),
    "publisher": (["events.>"],                                        []),
}  # fmt: skip
USER_NAMES = tuple(SERVICES)


def inbox_prefix(name: str) -> str:
    """The prefix of the inboxes of a user, for `nats.connect(inbox_prefix=...)`."""
    return f"_INBOX_{name}"


def service_users(passwords: Mapping[str, str]) -> list[NatsUser]:
    """The four services and `publisher`, with the passwords of USER_NAMES."""
    return [
        NatsUser(name, passwords[name], publish, [*subscribe, f"{inbox_prefix(name)}.>"])
        for name, (publish, subscribe) in SERVICES.items()
    ]
