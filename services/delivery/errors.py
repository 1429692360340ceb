"""The tracker's own errors."""

from __future__ import annotations

from kit.errors import NotFound


class MissingDelivery(NotFound):
    """No such delivery: it has not ended or begun, or is older than what is kept."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} is not known: nothing is recorded of it yet, or it is older than what is kept.",
            metadata={"resource": name},
        )
