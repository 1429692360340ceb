"""The operator's keys of `onward up`, made from secrets of its data folder: the current one and those before it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection
from pathlib import Path

from kit.embedded.data_folder import DataFolder, renew_secret, retire_secrets
from kit.vault import PREVIOUS_KEYS_MAX, Vault

_SECRET = "key encryption key"  # noqa: S105  # its name


def current_key(folder: DataFolder) -> str:
    """As ONWARD_KEY_ENCRYPTION_KEY has it."""
    return _key(folder.secret(_SECRET))


def signing_key(folder: DataFolder) -> str:
    """As ONWARD_AUDIT_SIGNING_KEY has it."""
    return _key(folder.secret("audit signing key"))


def webhook_key(folder: DataFolder) -> str:
    """As ONWARD_WEBHOOK_SIGNING_KEY has it."""
    return _key(folder.secret("webhook signing key"))


def previous_keys(folder: DataFolder) -> str:
    """As ONWARD_PREVIOUS_KEY_ENCRYPTION_KEYS has them."""
    return ",".join(map(_key, folder.former_secrets(_SECRET)))


def add_operator_key(data: Path) -> None:
    """Make a new key, which is the current one from the next start of `onward up` on. Raises EmbeddedError."""
    renew_secret(data, _SECRET, former_max=PREVIOUS_KEYS_MAX)


def retire_operator_keys(data: Path, unused: Collection[str]) -> int:
    """Delete former keys for good, those whose ids are in `unused`; gives their number.

    Only ids that GetKeyStatus has with no data keys may be given: what a deleted key wraps is lost.
    """
    return retire_secrets(data, _SECRET, lambda secret: Vault.from_base64(_key(secret)).key_id in unused)


def _key(secret: str) -> str:
    """Make the 32 bytes that AES-256 needs of a generated secret."""
    return base64.b64encode(hashlib.sha256(secret.encode()).digest()).decode()
