"""Checks that need nothing but the service's own settings."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from kit.clock import Clock
from kit.errors import Unavailable
from kit.rpc.tls import EXPIRES_SOON
from kit.settings import ServiceSettings, variable
from kit.status.check import Check, Probe, counted, failure, ok, warning

# A week is little where somebody else signs certificates.
EXPIRES_NOW = timedelta(days=7)
RENEW = (
    "renew it: restart `onward up`, or call `onward certificates create` again and restart the services"
    " (docs/operations.md, TLS)"
)


def process_probes(settings: ServiceSettings, clock: Clock) -> list[Probe]:
    """Python, TLS and telemetry."""

    async def ask_runtime() -> Sequence[Check]:
        return [ok("python", platform.python_version()), judge_telemetry(settings.otlp_endpoint)]

    async def ask_tls() -> Sequence[Check]:
        if settings.tls_certificate is None or settings.tls_ca is None:
            return [judge_tls(None, clock.now())]
        ends = [await _not_after(settings.tls_certificate), await _not_after(settings.tls_ca)]
        return [judge_tls(min(ends), clock.now())]

    return [Probe("python", ask_runtime), Probe("tls", ask_tls)]


def judge_telemetry(endpoint: str | None) -> Check:
    """It is right to have none."""
    if endpoint is None:
        return ok("telemetry", f"off: {variable('otlp_endpoint')} is not set")
    return ok("telemetry", f"sent to {endpoint}")


def judge_tls(until: datetime | None, now: datetime) -> Check:
    """`until` is when the first of certificate and authority ends; None without TLS."""
    if until is None:
        # Other addresses are refused at the start.
        return ok("tls", "nothing is encrypted, on loopback addresses alone")
    days = (until - now) // timedelta(days=1)
    if until <= now:
        return failure("tls", f"the certificate expired on {until:%Y-%m-%d}", RENEW)
    message = f"certificate good until {until:%Y-%m-%d}, {counted(days, 'day')}"
    if until - now < EXPIRES_NOW:
        return failure("tls", message, RENEW)
    return warning("tls", message, RENEW) if until - now < EXPIRES_SOON else ok("tls", message)


async def _not_after(path: Path) -> datetime:
    try:
        pem = await asyncio.to_thread(path.read_bytes)
        return x509.load_pem_x509_certificates(pem)[0].not_valid_after_utc
    except (OSError, ValueError) as error:
        raise Unavailable(f"{path} can't be read: {error}") from None
