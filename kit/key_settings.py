"""The operator's keys as registry and executor are given them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, SecretStr

from kit.settings import ServiceSettings
from kit.vault import Keyring, Vault, VaultError


def _is_key(text: SecretStr) -> SecretStr:
    try:
        Vault.from_base64(text.get_secret_value())
    except VaultError as error:
        # pydantic reports a ValueError's text; ours names no secret.
        raise ValueError(str(error)) from None
    return text


def _are_keys(texts: SecretStr) -> SecretStr:
    try:
        Keyring.read_keys(texts.get_secret_value())
    except VaultError as error:
        raise ValueError(str(error)) from None
    return texts


class KeySettings(ServiceSettings):
    """What those need who wrap or unwrap data keys."""

    # Base64 of 32 random bytes; wraps the workspaces' data keys. Without it their secrets are lost: keep a copy.
    key_encryption_key: Annotated[SecretStr, AfterValidator(_is_key)]
    # Keys that unwrap only, separated by commas: older ones, until everything is wrapped anew.
    previous_key_encryption_keys: Annotated[SecretStr, AfterValidator(_are_keys)] = SecretStr("")

    @property
    def keyring(self) -> Keyring:
        """The keys."""
        return Keyring.from_base64(
            self.key_encryption_key.get_secret_value(), self.previous_key_encryption_keys.get_secret_value()
        )
