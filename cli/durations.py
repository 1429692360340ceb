"""Durations as people write them: 30s, 15m, 1h, 7d."""

from __future__ import annotations

import re

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
