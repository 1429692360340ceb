"""The audit service's settings, from ONWARD_* variables."""

from __future__ import annotations

from kit.settings import ServiceSettings


class Settings(ServiceSettings):
    """What every service needs is all that this one needs."""
