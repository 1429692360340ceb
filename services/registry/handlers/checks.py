"""What the registry checks of itself when the operator asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from kit.auth.issuer import Issuer, IssuerUnavailable, fetch_keys
from kit.bus.connection import Bus
from kit.clock import Clock
from kit.eventstore.postgres import queries
from kit.eventstore.store import EventStore
from kit.postgres.pool import Pool
from kit.rpc.methods import Servicer
from kit.settings import variable
from kit.status.check import Check, Probe, counted, failure, ok, warning
from kit.status.lag import lag_probe
from kit.status.nats import nats_probes
from kit.status.postgres import WELL, postgres_probes
from kit.status.process import process_probes
from kit.status.servicer import status_servicer
from onward.registry.v1.operator_service_pb2 import GetKeyStatusResponse
from services.registry.settings import Settings

# Below a probe's own time, so that the reason is told.
ISSUER_TIMEOUT_S = 1.8
DOOR_CLOSED = f"set {variable('nats_auth_password')} and {variable('nats_callout_seed')} (docs/configuration.md)"
RELAY_ADVICE = "is NATS well? The registry's log says why: relay_refused, relay_interrupted"

KeyStatus = Callable[[], Awaitable[GetKeyStatusResponse]]


def registry_status(
    settings: Settings,
    clock: Clock,
    pool: Pool,
    bus: Bus,
    store: EventStore,
    keys: KeyStatus,
    auth_bus: Bus | None,
) -> Servicer:
    """The registry's StatusService. `auth_bus` is the connection on which NATS asks; None where the door is closed."""
    own = registry_probes(pool, store, keys, auth_bus, settings.oidc)
    probes = [*process_probes(settings, clock), *nats_probes(settings, bus), *postgres_probes(pool, clock), *own]
    return status_servicer("registry", probes, clock)


def registry_probes(
    pool: Pool, store: EventStore, keys: KeyStatus, auth_bus: Bus | None, issuer: Issuer | None
) -> list[Probe]:
    """The relay, the operator's keys, the door for publishers, and the identity provider where there is one."""

    async def heads() -> Mapping[str, int]:
        return dict(await store.workspaces())

    async def published() -> Mapping[str, int]:
        rows = await pool.fetch(queries.published, list(await heads()))
        return {row["workspace"]: row["position"] for row in rows}

    async def ask_keys() -> Sequence[Check]:
        return [judge_keys(await keys())]

    async def ask_door() -> Sequence[Check]:
        return [judge_door(None if auth_bus is None else auth_bus.connected)]

    probes = [
        lag_probe("relay", heads, published, RELAY_ADVICE),
        Probe("keys", ask_keys, WELL),
        Probe("door", ask_door),
    ]
    return probes if issuer is None else [*probes, _issuer_probe(issuer)]


def judge_keys(status: GetKeyStatusResponse) -> Check:
    """Judge what wraps the data keys."""
    missing = [one for one in status.keys if one.data_keys and not one.configured]
    if missing:
        lost = ", ".join(f"{one.key_id} (wraps {one.data_keys:,})" for one in missing)
        advice = f"give it in {variable('previous_key_encryption_keys')}, then `onward keys rotate`"
        return failure("keys", f"operator's key missing: {lost}", advice)
    if status.behind:
        advice = "`onward keys rotate` wraps them by the current key; then take the older one away"
        return warning("keys", f"an older key of the operator's wraps {counted(status.behind, 'data key')}", advice)
    total = sum(one.data_keys for one in status.keys)
    return ok("keys", f"the current key of the operator's wraps {counted(total, 'data key')}")


def judge_door(connected: bool | None) -> Check:
    """`connected`: whether NATS can ask the registry who may connect; None where it is not to."""
    if connected is None:
        return warning("door", "closed: write keys and readers' tokens are of no use at NATS", DOOR_CLOSED)
    if not connected:
        advice = "is NATS well? Until it is, nobody new may connect with a write key"
        return failure("door", "NATS can't ask the registry who may connect", advice)
    return ok("door", "open for write keys and readers' tokens")


def _issuer_probe(issuer: Issuer) -> Probe:
    async def ask() -> Sequence[Check]:
        try:
            found = await fetch_keys(issuer, ISSUER_TIMEOUT_S)
        except IssuerUnavailable as error:
            advice = f"see {variable('oidc_issuer')}, and whether it can be reached from here; Onward's own tokens work"
            return [failure("oidc", str(error), advice)]
        return [ok("oidc", f"{issuer.url} answers with {counted(len(found.keys), 'key')}")]

    return Probe("oidc", ask)
