"""How a service reaches the bus: never without knowing what an acknowledgement is worth."""

from __future__ import annotations

import structlog

from kit.bus.connection import Bus, connect
from kit.bus.durability import require_durability
from kit.bus.tls import tls_context
from kit.nats_auth.admission import AUTH_USER
from kit.settings import ServiceSettings, SettingsError

log = structlog.get_logger(__name__)


async def connect_service(service: str, settings: ServiceSettings) -> Bus:
    """Check the server's durability against the settings, then connect.

    Raises SettingsError where `strict` cannot be checked, WrongState where the server keeps less than promised, and
    Unavailable where no server answers.
    """
    if settings.nats_monitoring_url:
        await require_durability(settings.durability, settings.nats_monitoring_url)
    elif settings.durability == "strict":
        raise SettingsError(
            "ONWARD_NATS_MONITORING_URL is not set, so durability 'strict' cannot be checked: "
            "set it, or set ONWARD_DURABILITY=relaxed"
        )
    else:
        log.warning("bus_durability_unchecked", durability=settings.durability)
    password = settings.nats_password.get_secret_value() if settings.nats_password else None
    return await _connect(settings, settings.nats_user, password, f"onward-{service}")


async def connect_auth(settings: ServiceSettings, password: str) -> Bus:
    """A connection of the server's own account, on which the registry is asked who may connect."""
    return await _connect(settings, AUTH_USER, password, "onward-registry-auth")


async def _connect(settings: ServiceSettings, user: str | None, password: str | None, name: str) -> Bus:
    try:
        tls = tls_context(settings.nats_url, settings.tls_ca)
    except OSError as error:
        raise SettingsError(f"ONWARD_TLS_CA: {settings.tls_ca} can't be used ({error.strerror or error})") from None
    return await connect(settings.nats_url, user, password, name=name, tls=tls)
