"""Durations as people write them, such as 15m or 7d, and moments: so long ago, or a time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from cli.failures import UsageError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)([smhd])")
# Timestamps of protobuf begin in the year 1.
DAYS_MAX = 3650


def parse_duration(text: str) -> float:
    """Give seconds. Raises UsageError."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is not a duration: write 30s, 15m, 1h or 7d")
    seconds = float(match[1]) * _SECONDS[match[2]]
    if seconds > DAYS_MAX * 86400:
        raise UsageError(f"{text} is too long: {DAYS_MAX}d at most")
    return seconds


def spelled(seconds: int) -> str:
    """Give whole seconds in the largest unit that they are a multiple of, as `parse_duration` reads it."""
    unit = next((unit for unit in ("d", "h", "m") if seconds and seconds % _SECONDS[unit] == 0), "s")
    return f"{seconds // _SECONDS[unit]}{unit}"


def parse_moment(text: str, now: datetime) -> datetime:
    """Give the time that is a duration ago, or an ISO 8601 one; UTC unless it says otherwise. Raises UsageError."""
    if _DURATION.fullmatch(text):
        return now - timedelta(seconds=parse_duration(text))
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{text!r} is neither a duration nor a time: write 15m, 7d, 2026-03-01 or 2026-03-01T12:00"
        ) from None
