"""The registry's settings, from ONWARD_* variables."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, SecretStr

from kit.settings import LongSecret, ServiceSettings
from kit.vault import Vault, VaultError


def _is_key(text: SecretStr) -> SecretStr:
    try:
        Vault.from_base64(text.get_secret_value())
    except VaultError as error:
        # pydantic reports a ValueError's text; ours names no secret.
        raise ValueError(str(error)) from None
    return text


class Settings(ServiceSettings):
    """What the registry needs besides what every service needs."""

    # Creates workspaces, sets limits; sees nothing that is in a workspace.
    operator_token: LongSecret
    # Base64 of 32 random bytes; wraps the workspaces' data keys. Without it their secrets are lost: keep a copy.
    key_encryption_key: Annotated[SecretStr, AfterValidator(_is_key)]
