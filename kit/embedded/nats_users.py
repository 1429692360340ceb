"""Who may do what on the NATS server: the accounts, and the services' own users. deploy/nats.conf says the same.

Everybody else (publishers with a write key, readers with a token) is admitted by the registry: kit/nats_auth.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kit.nats_auth.admission import AUTH_USER, ONWARD, PUBLISHERS, READERS, SYSTEM, inbox_prefix
from kit.nats_auth.callout import AUTH_TIMEOUT_S, SUBJECT

__all__ = ["SERVICES", "USER_NAMES", "NatsUser", "authorization", "inbox_prefix", "service_users"]


@dataclass(frozen=True)
class NatsUser:
    """A user and the subjects it may publish and subscribe to; None: all, empty: none."""

    name: str
    password: str
    publish: list[str] | None = None
    subscribe: list[str] | None = None
    # Of what `publish` allows.
    publish_not: list[str] | None = None
    account: str = ONWARD

    def as_config(self) -> dict[str, Any]:
        permissions = {
            verb: {"allow": subjects} if subjects else {"deny": [">"]}
            for verb, subjects in (("publish", self.publish), ("subscribe", self.subscribe))
            if subjects is not None
        }
        if self.publish_not:
            permissions["publish"] |= {"deny": self.publish_not}
        entry: dict[str, Any] = {"user": self.name, "password": self.password}
        return entry | ({"permissions": permissions} if permissions else {})


@dataclass(frozen=True)
class Service:
    """The subjects that a service publishes to, and those of them that it may not."""

    publish: tuple[str, ...]
    publish_not: tuple[str, ...] = ()


def _api(*calls: str) -> tuple[str, ...]:
    """Calls of JetStream's API, `STREAM.INFO.FACTS`."""
    return tuple(f"$JS.API.{call}" for call in calls)


def _consumer(stream: str, name: str) -> tuple[str, ...]:
    """What it takes to declare a durable consumer, to pull from it and to acknowledge."""
    calls = (f"CONSUMER.INFO.{stream}.{name}", f"CONSUMER.CREATE.{stream}.{name}", f"CONSUMER.MSG.NEXT.{stream}.{name}")
    return (*_api(*calls), f"$JS.ACK.{stream}.{name}.>")


def _owned(stream: str) -> tuple[str, ...]:
    """What it takes to keep a stream as it is declared."""
    return _api(f"STREAM.INFO.{stream}", f"STREAM.CREATE.{stream}", f"STREAM.UPDATE.{stream}")


def _found(stream: str) -> tuple[str, ...]:
    """What it takes to start before the stream's owner: it is made where it is missing, and never changed."""
    return _api(f"STREAM.INFO.{stream}", f"STREAM.CREATE.{stream}")


WORK = ("OUTCOMES", "DUE")

# A workspace's stream is called EVENTS_<workspace>, and a wildcard stands for a whole token: what is allowed of those
# is allowed of every stream (`*`), and taken away again for the ones that have another owner. Each service hears
# nothing but its own inbox, `_INBOX_<name>.>`, where pulled messages arrive too: connect with inbox_prefix(name).
REGISTRY = Service(
    (
        "facts.registry.>",
        *_owned("*"),
        *_api("STREAM.DELETE.*", "STREAM.PURGE.*", "CONSUMER.INFO.*.executor", "CONSUMER.CREATE.*.executor"),
    ),
    (
        # They are the tracker's.
        *_api(*(f"STREAM.{verb}.{stream}" for verb in ("CREATE", "UPDATE", "DELETE", "PURGE") for stream in WORK)),
        *_api(*(f"CONSUMER.CREATE.{stream}.executor" for stream in ("FACTS", *WORK))),
    ),
)
EXECUTOR = Service(
    (
        "outcomes.>",
        *_found("FACTS"),
        *_found("OUTCOMES"),
        *_found("DUE"),
        *_consumer("*", "executor"),
        # A consumer for each replica, `executor-<host>-<pid>`; its facts are not acknowledged.
        *_api("CONSUMER.CREATE.FACTS.*", "CONSUMER.DELETE.FACTS.*", "CONSUMER.MSG.NEXT.FACTS.*"),
        # It lets handled events go where a workspace's stream is nearly full.
        *_api("STREAM.INFO.*", "STREAM.PURGE.*"),
        # It shows the last events of a source.
        *_api("DIRECT.GET.*"),
    ),
    (
        *_api("STREAM.PURGE.FACTS", "STREAM.PURGE.OUTCOMES", "STREAM.PURGE.DUE"),
        *_api("CONSUMER.*.OUTCOMES.executor", "CONSUMER.MSG.NEXT.OUTCOMES.executor"),
        *_api("CONSUMER.*.FACTS.audit", "CONSUMER.MSG.NEXT.FACTS.audit"),
        *_api("DIRECT.GET.FACTS", "DIRECT.GET.OUTCOMES", "DIRECT.GET.DUE"),
    ),
)
DELIVERY = Service(
    (
        "due.>",
        "facts.delivery.>",
        *_found("FACTS"),
        *_owned("OUTCOMES"),
        *_owned("DUE"),
        *_consumer("OUTCOMES", "delivery"),
        *_api("CONSUMER.INFO.DUE.executor", "CONSUMER.CREATE.DUE.executor", "STREAM.MSG.GET.DUE"),
        # It replays events out of workspaces' streams.
        *_api("DIRECT.GET.*"),
    ),
    _api("DIRECT.GET.FACTS", "DIRECT.GET.OUTCOMES", "DIRECT.GET.DUE"),
)
AUDIT = Service((*_found("FACTS"), *_consumer("FACTS", "audit")))

SERVICES: dict[str, Service] = {
    "registry": REGISTRY,
    "executor": EXECUTOR,
    "delivery": DELIVERY,
    "audit": AUDIT,
}
USER_NAMES = (*SERVICES, AUTH_USER)


def service_users(passwords: Mapping[str, str]) -> list[NatsUser]:
    """The users of the services, and `auth`, with the passwords of USER_NAMES."""
    users = [
        NatsUser(name, passwords[name], list(one.publish), [f"{inbox_prefix(name)}.>"], list(one.publish_not))
        for name, one in SERVICES.items()
    ]
    return [*users, _auth_user(passwords[AUTH_USER])]


def _auth_user(password: str) -> NatsUser:
    """The registry's second user, in the system account."""
    # The server's questions have reply subjects of this kind.
    publish = ["$SYS._INBOX.>", "$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.SERVER.*.KICK"]
    return NatsUser(AUTH_USER, password, publish, [SUBJECT, f"{inbox_prefix(AUTH_USER)}.>"], account=SYSTEM)


def authorization(users: Iterable[NatsUser], issuer: str) -> dict[str, Any]:
    """The part of the server's configuration that says who may connect, and to what.

    `issuer` is the public key of whoever answers as the user `auth`; without that user, nobody else is asked.
    """
    users = list(users)
    asked = {
        "issuer": issuer,
        "account": SYSTEM,
        # About them the server asks nobody: their passwords stand here.
        "auth_users": [user.name for user in users],
    }
    delegated = {"auth_callout": asked} if any(user.account == SYSTEM for user in users) else {}
    return {
        "accounts": _accounts(users),
        "system_account": SYSTEM,
        "authorization": {"timeout": AUTH_TIMEOUT_S, **delegated},
    }


def _accounts(users: list[NatsUser]) -> dict[str, Any]:
    def members(account: str) -> list[dict[str, Any]]:
        return [user.as_config() for user in users if user.account == account]

    return {
        SYSTEM: {"users": members(SYSTEM)},
        ONWARD: {
            "jetstream": "enabled",
            "exports": [
                {"service": "events.>", "accounts": [PUBLISHERS]},
                {"stream": "facts.>", "accounts": [READERS]},
            ],
            "users": members(ONWARD),
        },
        PUBLISHERS: {"imports": [{"service": {"account": ONWARD, "subject": "events.>"}}]},
        READERS: {"imports": [{"stream": {"account": ONWARD, "subject": "facts.>"}}]},
    }
