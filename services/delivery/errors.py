"""The tracker's own errors."""

from __future__ import annotations

from kit.errors import LimitReached, NotFound, PermissionDenied


class MissingDelivery(NotFound):
    """No such delivery: it has not ended or begun, or is older than what is kept."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} is not known: nothing is recorded of it yet, or it is older than what is kept.",
            metadata={"resource": name},
        )


class HiddenDelivery(PermissionDenied):
    """It belongs to a source that the caller does not administer, or there is none."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} is not one of your sources': seeing it takes Source Admin of its source. Ask an owner of the"
            " workspace for the role.",
            metadata={"resource": name, "permission": "DELIVERY_VIEW"},
        )


class HiddenDestination(PermissionDenied):
    """It is of a source that the caller does not administer or of a function that it may not view, or there is none."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} is not yours to operate: it takes Source Admin of its source, and at least Functions Read-only of"
            " its function. Ask an owner of the workspace for the roles.",
            metadata={"resource": name, "permission": "DELIVERY_OPERATE"},
        )


class HiddenSource(PermissionDenied):
    """The caller does not administer the source, or there is none."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} is not one of your sources: hearing of it takes Source Admin of it. Ask an owner of the workspace"
            " for the role.",
            metadata={"resource": name, "permission": "DELIVERY_VIEW"},
        )


class MissingSubscription(NotFound):
    """No such subscription, or it has ended."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} does not exist; ListSubscriptions tells which there are.", metadata={"resource": name}
        )


class HiddenSubscription(PermissionDenied):
    """It covers sources that the caller does not administer, or there is none."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} covers more than your sources, or does not exist: ending it takes Source Admin of all that it"
            " covers, or an owner of the workspace.",
            metadata={"resource": name, "permission": "DELIVERY_VIEW"},
        )


class TooManyOutcomes(LimitReached):
    """What is known of so many messages does not fit into one answer."""

    def __init__(self, sequences: int) -> None:
        super().__init__(
            f"What is known of these {sequences} stream sequences is more than one answer carries: ask for fewer.",
            metadata={"limit": "lookup_outcomes", "sequences": str(sequences)},
        )


class TooManyPoints(LimitReached):
    """A series would be longer than anybody draws, or all of them than an answer carries."""

    def __init__(self, points: int, points_max: int) -> None:
        super().__init__(
            f"That would be {points:,} points, and one answer has {points_max:,} at most: ask for a longer interval, a"
            " shorter time, or one destination.",
            metadata={"limit": "series_points", "points": str(points), "points_max": str(points_max)},
        )


class MissingReplay(NotFound):
    """No such replay."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not known.", metadata={"resource": name})


class HiddenReplay(PermissionDenied):
    """It is of a destination that the caller may not operate, or there is none."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} is not one of your sources', or changing it takes a role on the function as well: seeing it takes"
            " Source Admin of its source. Ask an owner of the workspace for the role.",
            metadata={"resource": name, "permission": "DELIVERY_VIEW"},
        )
