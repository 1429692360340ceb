"""The registry's settings, from ONWARD_* variables."""

from __future__ import annotations

from kit.key_settings import KeySettings
from kit.settings import LongSecret


class Settings(KeySettings):
    """What the registry needs besides what every service needs."""

    # Creates workspaces, sets limits; sees nothing that is in a workspace.
    operator_token: LongSecret
