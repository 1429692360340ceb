"""Which service a certificate belongs to: its DNS names hold `onward-registry`, `onward-executor` and so on."""

from collections.abc import Iterable

PREFIX = "onward-"
# A certificate of the same CA that names anything else proves nothing here.
SERVICES = frozenset({"registry", "executor", "delivery", "audit"})


def certificate_name(service: str) -> str:
    """The DNS name that a service's certificate must hold."""
    return PREFIX + service


def service_of(names: Iterable[str]) -> str | None:
    """The one service that these names of a verified certificate stand for; None for none or several."""
    found = {name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX)} & SERVICES
    return found.pop() if len(found) == 1 else None
