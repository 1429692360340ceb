"""The streams and durable consumers, declared once; provisioning makes the server agree."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import structlog

from kit.bus.connection import Bus
from kit.bus.errors import STREAM_NAME_IN_USE, nats_error
from kit.errors import NotFound, OnwardError, PermissionDenied

log = structlog.get_logger(__name__)

_NANOSECOND = 1_000_000_000
_DAY_S = 24 * 3600
_GIB = 1024**3
_KIB = 1024

# Facts can be published again from Postgres at any time; the stream serves consumers that were away.
FACTS_MAX_AGE_S = 30 * _DAY_S
FACTS_MAX_BYTES = 4 * _GIB
# An acknowledged event waits at most this long for an executor.
EVENTS_MAX_AGE_S = 7 * _DAY_S
EVENTS_MAX_BYTES = 4 * _GIB
# A packed batch of events has 500 KB at most.
EVENT_BYTES_MAX = 512 * _KIB
# Work that nobody takes is kept for as long as events are; the tracker can tell of all of it.
WORK_MAX_AGE_S = 7 * _DAY_S
WORK_MAX_BYTES = 4 * _GIB
# Attempts come in messages of 512 KiB, plus what the envelope takes; below the server's max_payload of 1 MB.
WORK_BYTES_MAX = 1_000_000
# The server remembers message ids for two minutes: retries of a publisher and of the relay are well within.
DUPLICATE_WINDOW_S = 120
# Executors answer within milliseconds and extend what runs, so a crash stalls nothing for long.
EXECUTOR_ACK_WAIT_S = 10
# One second of events at full speed may be unacknowledged, of all executors together.
EXECUTOR_ACKS_PENDING_MAX = 20_000
# Consumers that store in Postgres; long enough for a slow transaction. Not longer, since redelivered events wait until
# the outcomes that a crashed tracker held are here again; what comes twice is applied once.
STORE_ACK_WAIT_S = 10
OUTCOMES_ACKS_PENDING_MAX = 2_000
FACTS_ACKS_PENDING_MAX = 10_000


@dataclass(frozen=True, slots=True)
class ConsumerDeclaration:
    """A durable pull consumer with explicit acknowledgements and redelivery without end."""

    name: str
    ack_wait_s: int
    acks_pending_max: int
    filter_subjects: tuple[str, ...] = ()

    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = {
            "durable_name": self.name,
            "name": self.name,
            "ack_policy": "explicit",
            "ack_wait": self.ack_wait_s * _NANOSECOND,
            "max_ack_pending": self.acks_pending_max,
            "max_deliver": -1,
            "deliver_policy": "all",
            "replay_policy": "instant",
        }
        if self.filter_subjects:
            config["filter_subjects"] = list(self.filter_subjects)
        return config


@dataclass(frozen=True, slots=True)
class StreamDeclaration:
    """A stream on file storage, and its consumers."""

    name: str
    subjects: tuple[str, ...]
    max_age_s: int
    max_bytes: int
    message_bytes_max: int = WORK_BYTES_MAX
    retention: Literal["limits", "workqueue"] = "limits"
    # "new" refuses when full, "old" drops the oldest.
    discard: Literal["new", "old"] = "new"
    duplicate_window_s: int = DUPLICATE_WINDOW_S
    # Atomic batches are what makes `sync_interval: always` affordable.
    allow_atomic: bool = True
    # Single messages may be read, without a consumer.
    allow_direct: bool = False
    replicas: int = 1
    consumers: tuple[ConsumerDeclaration, ...] = ()

    def config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "subjects": list(self.subjects),
            "storage": "file",
            "retention": self.retention,
            "discard": self.discard,
            "max_age": self.max_age_s * _NANOSECOND,
            "max_bytes": self.max_bytes,
            "max_msg_size": self.message_bytes_max,
            "duplicate_window": self.duplicate_window_s * _NANOSECOND,
            "allow_atomic": self.allow_atomic,
            "allow_direct": self.allow_direct,
            "num_replicas": self.replicas,
        }


@dataclass(frozen=True, slots=True)
class Change:
    """What provisioning did: `fields` are the settings that had drifted, empty for something new."""

    name: str
    action: Literal["created", "restored"]
    fields: tuple[str, ...] = ()


def facts_consumer(service: str) -> ConsumerDeclaration:
    """A service's own consumer of all facts."""
    return ConsumerDeclaration(service, STORE_ACK_WAIT_S, FACTS_ACKS_PENDING_MAX)


def facts_stream(*consumers: ConsumerDeclaration, replicas: int = 1) -> StreamDeclaration:
    """FACTS with the consumers that the calling service needs."""
    return StreamDeclaration(
        name="FACTS",
        subjects=("facts.>",),
        max_age_s=FACTS_MAX_AGE_S,
        max_bytes=FACTS_MAX_BYTES,
        discard="old",
        replicas=replicas,
        consumers=consumers,
    )


def events_stream_name(workspace: str) -> str:
    return f"EVENTS_{workspace}"


def events_stream(
    workspace: str, *, max_bytes: int = EVENTS_MAX_BYTES, max_age_s: int = EVENTS_MAX_AGE_S, replicas: int = 1
) -> StreamDeclaration:
    """One workspace's events: limits, deduplication and fairness of its own. Full, it refuses."""
    return StreamDeclaration(
        name=events_stream_name(workspace),
        subjects=(f"events.{workspace}.>",),
        max_age_s=max_age_s,
        max_bytes=max_bytes,
        message_bytes_max=EVENT_BYTES_MAX,
        # Samples of a source's events are shown to people.
        allow_direct=True,
        replicas=replicas,
        consumers=(EXECUTOR,),
    )


def outcomes_stream(*, replicas: int = 1) -> StreamDeclaration:
    """What executors report, until the tracker has stored it."""
    return _work("OUTCOMES", "outcomes.>", DELIVERY, replicas)


def due_stream(*, replicas: int = 1) -> StreamDeclaration:
    """What the tracker releases to be run now."""
    return _work("DUE", "due.>", EXECUTOR, replicas)


def _work(name: str, subject: str, consumer: ConsumerDeclaration, replicas: int) -> StreamDeclaration:
    return StreamDeclaration(
        name=name,
        subjects=(subject,),
        max_age_s=WORK_MAX_AGE_S,
        max_bytes=WORK_MAX_BYTES,
        retention="workqueue",
        replicas=replicas,
        consumers=(consumer,),
    )


EXECUTOR = ConsumerDeclaration("executor", EXECUTOR_ACK_WAIT_S, EXECUTOR_ACKS_PENDING_MAX)
DELIVERY = ConsumerDeclaration("delivery", STORE_ACK_WAIT_S, OUTCOMES_ACKS_PENDING_MAX)
FACTS = facts_stream()
OUTCOMES = outcomes_stream()
DUE = due_stream()


async def provision(bus: Bus, declarations: Iterable[StreamDeclaration]) -> list[Change]:
    """Creates what is missing and restores what has drifted; any number of services may do so at once.

    Messages and what consumers have acknowledged stay. Raises when the server can't change a setting of an
    existing stream (its storage, say): an operator has to decide about the messages in it. What this user may not
    change is left to the service that owns it, which provisions it as well.
    """
    changes: list[Change] = []
    for declaration in declarations:
        changes += await _provision_stream(bus, declaration)
        for consumer in declaration.consumers:
            changes += await _provision_consumer(bus, declaration.name, consumer)
    for change in changes:
        log.info("bus_provisioned", name=change.name, action=change.action, fields=change.fields)
    return changes


async def require(bus: Bus, declaration: StreamDeclaration) -> None:
    """Raises NotFound unless a stream that another service provisions is there, with its consumers."""
    await bus.api(f"STREAM.INFO.{declaration.name}")
    for consumer in declaration.consumers:
        await bus.api(f"CONSUMER.INFO.{declaration.name}.{consumer.name}")


async def _provision_stream(bus: Bus, declaration: StreamDeclaration) -> list[Change]:
    wanted = declaration.config()
    current = await _config(bus, f"STREAM.INFO.{declaration.name}")
    if current is None:
        try:
            await bus.api(f"STREAM.CREATE.{declaration.name}", wanted)
        except OnwardError as error:
            if nats_error(error) != STREAM_NAME_IN_USE:
                raise
            # Another service made it meanwhile, of another version perhaps.
            current = await _config(bus, f"STREAM.INFO.{declaration.name}") or {}
        else:
            return [Change(declaration.name, "created")]
    drifted = _drifted(wanted, current)
    if drifted and await _allowed(bus, f"STREAM.UPDATE.{declaration.name}", {**current, **wanted}):
        return [Change(declaration.name, "restored", drifted)]
    return []


async def _provision_consumer(bus: Bus, stream: str, declaration: ConsumerDeclaration) -> list[Change]:
    wanted = declaration.config()
    name = f"{stream}/{declaration.name}"
    current = await _config(bus, f"CONSUMER.INFO.{stream}.{declaration.name}")
    drifted = _drifted(wanted, current or {})
    if not drifted:
        return []
    # Creating a durable consumer that exists with other settings changes it and keeps its state.
    config = {**(current or {}), **wanted}
    request = {"stream_name": stream, "config": config, "action": ""}
    if not await _allowed(bus, f"CONSUMER.CREATE.{stream}.{declaration.name}", request):
        return []
    return [Change(name, "created") if current is None else Change(name, "restored", drifted)]


async def _allowed(bus: Bus, call: str, request: dict[str, Any]) -> bool:
    """Make a call; False where it is another service's to make."""
    try:
        await bus.api(call, request)
    except PermissionDenied:
        log.info("bus_left_to_its_owner", call=call)
        return False
    return True


async def _config(bus: Bus, call: str) -> dict[str, Any] | None:
    try:
        config: dict[str, Any] = (await bus.api(call))["config"]
    except NotFound:
        return None
    return config


def _drifted(wanted: dict[str, Any], current: dict[str, Any]) -> tuple[str, ...]:
    # The server leaves out settings that have their zero value.
    return tuple(name for name, value in wanted.items() if current.get(name, type(value)()) != value)
