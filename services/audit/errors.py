"""The audit service's errors."""

from __future__ import annotations

from kit import errors


class Missing(errors.NotFound):
    """An index that the trail has not reached."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} does not exist.", metadata={"resource": name})


class UnfitLog(errors.Unavailable):
    """What a service answers as its log does not continue what is recorded of it; nothing of it is recorded."""
