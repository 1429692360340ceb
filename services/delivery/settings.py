"""The delivery tracker's settings, from ONWARD_* variables."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, Field

from kit.settings import RandomKey, ServiceSettings, key_bytes

# More would hide a destination that will never work.
RETRIES_MAX = 100


def parse_offsets(text: str) -> tuple[float, ...]:
    """Numbers from a text such as "10,40,120"."""
    return tuple(float(part) for part in text.split(","))


def _ascending(text: str) -> str:
    try:
        numbers = parse_offsets(text)
    except ValueError:
        raise ValueError("must be seconds separated by commas, such as 10,40,120") from None
    if len(numbers) > RETRIES_MAX:
        raise ValueError(f"must hold at most {RETRIES_MAX} numbers")
    if numbers[0] <= 0 or any(after <= before for before, after in pairwise(numbers)):
        raise ValueError("must be above 0 and grow from one to the next")
    return text


class Settings(ServiceSettings):
    """What the tracker needs besides what every service needs."""

    # Seconds after the first attempt's end at which a delivery is retried; the last one is the horizon.
    retry_offsets_s: Annotated[str, AfterValidator(_ascending)] = "10,40,120,300,900,2400,5400,9000,14400"
    # Attempts older than this are dropped by the day.
    retention_days: int = Field(default=30, ge=1, le=400)
    # What subscriptions' secrets are made of; without it nobody can be told of alerts.
    webhook_signing_key: RandomKey | None = None
    # A destination is failing in a window of five minutes with so many attempts, of which so large a share fails.
    health_attempts_min: int = Field(default=10, ge=1, le=1_000_000)
    health_failing_ratio: float = Field(default=0.5, gt=0, le=1)
    # It is unhealthy after so many such windows running, and healthy after so many in which fewer fail.
    health_failing_windows: int = Field(default=3, ge=1, le=288)
    health_clean_windows: int = Field(default=2, ge=1, le=288)
    # It is unhealthy, too, after so many minutes in which every attempt had invalid settings.
    health_invalid_settings_minutes: int = Field(default=60, ge=5, le=1440)

    @property
    def webhook_key(self) -> bytes | None:
        """The key."""
        return key_bytes(self.webhook_signing_key)
