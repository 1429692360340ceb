"""What the NATS server promises about acknowledged messages.

JetStream acknowledges before it has synced unless `sync_interval: always` is set. /varz tells so by
`jetstream.config.sync_always`, and not by `sync_interval`, which still reads two minutes.
"""

from __future__ import annotations

import asyncio
import json
import urllib.request
from typing import Literal
from urllib.parse import urlparse

import structlog

from kit.errors import Unavailable, WrongState

log = structlog.get_logger(__name__)

Durability = Literal["strict", "replicated", "relaxed"]

VARZ_TIMEOUT_S = 5.0
VARZ_BYTES_MAX = 1024 * 1024


async def read_durability(monitoring_url: str) -> Literal["strict", "relaxed"]:
    """Whether the server syncs before it acknowledges; raises Unavailable if it can't be asked."""
    varz = await read_varz(monitoring_url)
    config = (varz.get("jetstream") or {}).get("config") or {}
    return "strict" if config.get("sync_always") is True else "relaxed"


async def require_durability(expected: Durability, monitoring_url: str) -> Literal["strict", "relaxed"]:
    """Refuses a server that is less durable than configured; returns what it is.

    Raises WrongState under `strict`. With `replicated` the copies on other servers are the durability, and
    `relaxed` accepts all; both log what they found.
    """
    found = await read_durability(monitoring_url)
    if expected == "strict" and found != "strict":
        raise WrongState(
            "durability is 'strict', but the NATS server acknowledges before it has synced: set "
            "`sync_interval: always` in its jetstream block, or choose durability 'relaxed' and accept that "
            "a power failure loses acknowledged events"
        )
    if found == "relaxed":
        log.warning("bus_durability", durability=found, expected=expected)
    else:
        log.info("bus_durability", durability=found, expected=expected)
    return found


async def read_varz(monitoring_url: str) -> dict[str, dict[str, dict[str, object]]]:
    """What the server tells of itself; raises Unavailable if it can't be asked."""
    return await asyncio.to_thread(_read_varz, monitoring_url)


def _read_varz(monitoring_url: str) -> dict[str, dict[str, dict[str, object]]]:
    if urlparse(monitoring_url).scheme not in ("http", "https"):
        raise Unavailable(f"the NATS monitoring address {monitoring_url!r} is not an http address")
    url = f"{monitoring_url.rstrip('/')}/varz"
    try:
        with urllib.request.urlopen(url, timeout=VARZ_TIMEOUT_S) as response:  # noqa: S310  # checked above
            varz: dict[str, dict[str, dict[str, object]]] = json.loads(response.read(VARZ_BYTES_MAX))
    except (OSError, ValueError) as error:
        raise Unavailable(f"cannot read {url}, which tells how durable NATS is: {error}") from error
    return varz
