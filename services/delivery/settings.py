"""The delivery tracker's settings, from ONWARD_* variables."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, Field

from kit.settings import ServiceSettings

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
