"""What is checked of NATS: the server, what its acknowledgement is worth, and what waits in streams."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kit.bus.connection import Bus
from kit.bus.durability import read_varz
from kit.errors import Unavailable
from kit.settings import ServiceSettings, variable
from kit.status.check import Check, Probe, counted, failure, ok, size, warning

# The first with atomic batches, which make syncing every event affordable.
VERSION_MIN = (2, 12)
# The rest is for publishers to go on while somebody looks.
STREAM_FULL = 0.8

WELL = "is nats-server well? Its log says more"
DAMAGED = "what was acknowledged may be lost; see Damaged streams in docs/operations.md"
UPGRADE = "upgrade nats-server to 2.12 or newer"
SYNC = (
    "set `sync_interval: always` in the jetstream block of nats-server's configuration (docs/operations.md, Durability)"
)


def nats_probes(settings: ServiceSettings, bus: Bus) -> list[Probe]:
    """The server and its durability."""

    async def ask() -> Sequence[Check]:
        url = settings.nats_monitoring_url
        connected = judge_connection(_host(settings.nats_url), _version(bus), bus.connected)
        if url is None:
            return [connected, judge_durability(settings.durability, None)]
        try:
            varz = await read_varz(url)
        except Unavailable as error:
            return [connected, failure("durability", error.message, f"is {variable('nats_monitoring_url')} right?")]
        return [connected, judge_durability(settings.durability, varz)]

    return [Probe("nats", ask, WELL)]


def judge_connection(host: str, version: str, connected: bool) -> Check:
    """`version` is the server's, as it said when it was last connected."""
    if not connected:
        return failure("nats", f"{host} does not answer", "start nats-server; services connect again by themselves")
    message = f"nats-server {version}"
    if _numbers(version) < VERSION_MIN:
        return warning("nats", f"{message} knows no atomic batches", UPGRADE)
    return ok("nats", message)


def _version(bus: Bus) -> str:
    version = bus.client.connected_server_version
    return f"{version.major}.{version.minor}.{version.patch}"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def judge_durability(configured: str, varz: Mapping[str, Any] | None) -> Check:
    """Compare what the settings promise with what the server says; None where it can't be asked."""
    name = "durability"
    if varz is None:
        advice = f"set {variable('nats_monitoring_url')}, so that services can see it"
        return warning(name, f"{configured}: nobody looks whether NATS syncs before it acknowledges", advice)
    jetstream = varz.get("jetstream") or {}
    if (jetstream.get("config") or {}).get("sync_always") is True:
        return ok(name, f"{configured}: NATS syncs before it acknowledges")
    if configured == "strict":
        return failure(name, "strict, but NATS acknowledges before it has synced", SYNC)
    return warning(name, f"{configured}: a power failure may cost acknowledged events", SYNC)


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a stream holds for a consumer, in messages, and how full it is."""

    stream: str
    pending: int
    unacknowledged: int
    bytes: int
    bytes_max: int
    # Of a stream that only loses messages at its front: those within that are gone, and bytes that could not be read.
    messages_missing: int = 0
    bytes_damaged: int = 0

    @property
    def messages(self) -> int:
        return self.pending + self.unacknowledged


async def read_backlog(bus: Bus, stream: str, consumer: str) -> Backlog:
    """Ask the server; raises what `Bus.api` does, and at once while there is no connection."""
    if not bus.connected:
        raise Unavailable("NATS is not connected")
    of_consumer = await bus.api(f"CONSUMER.INFO.{stream}.{consumer}")
    of_stream = await bus.api(f"STREAM.INFO.{stream}")
    return Backlog(
        stream,
        pending=of_consumer["num_pending"],
        unacknowledged=of_consumer["num_ack_pending"],
        bytes=of_stream["state"]["bytes"],
        bytes_max=of_stream["config"]["max_bytes"],
        messages_missing=of_stream["state"].get("num_deleted", 0),
        bytes_damaged=(of_stream["state"].get("lost") or {}).get("bytes", 0),
    )


def judge_backlog(name: str, backlogs: Sequence[Backlog], messages_max: int, advice: str, *, refills: bool) -> Check:
    """Judge what waits, by the worst stream of several.

    `refills`: what was handled stays in the stream until it is full or old, so fullness says nothing.
    """
    waiting = sum(one.messages for one in backlogs)
    if not backlogs:
        return ok(name, "there are no streams yet")
    damaged = next((one for one in backlogs if refills and (one.messages_missing or one.bytes_damaged)), None)
    if damaged is not None:
        lost = f"{counted(damaged.messages_missing, 'message')} missing, {size(damaged.bytes_damaged)} unreadable"
        return failure(name, f"{damaged.stream} is damaged on NATS' disk: {lost}", DAMAGED)
    longest = max(backlogs, key=lambda one: one.messages)
    fullest = max(backlogs, key=lambda one: one.bytes / max(one.bytes_max, 1))
    where = f", most in {longest.stream}" if len(backlogs) > 1 and waiting else ""
    message = f"{counted(waiting, 'message')} waiting{where}"
    if not refills and fullest.bytes > STREAM_FULL * fullest.bytes_max > 0:
        told = f"{fullest.stream} holds {size(fullest.bytes)} of {size(fullest.bytes_max)}"
        return warning(name, f"{message}; {told}", f"{advice}; a full stream refuses")
    return warning(name, message, advice) if longest.messages > messages_max else ok(name, message)


def backlog_probe(
    name: str,
    read: Callable[[], Awaitable[Sequence[Backlog]]],
    messages_max: int,
    advice: str,
    *,
    refills: bool = False,
) -> Probe:
    """Reads backlogs and judges them."""

    async def ask() -> Sequence[Check]:
        return [judge_backlog(name, await read(), messages_max, advice, refills=refills)]

    return Probe(name, ask, WELL)


def _host(url: str) -> str:
    return url.rpartition("@")[2].rpartition("/")[2]
