"""The audit service's settings, from ONWARD_* variables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from kit.settings import RandomKey, ServiceSettings, key_bytes


def _key_name(text: str) -> str:
    if not text or "+" in text or any(character.isspace() for character in text):
        raise ValueError("must not be empty, and hold neither spaces nor +")
    return text


class Settings(ServiceSettings):
    """What every service needs, and what checkpoints are signed with."""

    # The Ed25519 key that signs checkpoints; without it none is made.
    audit_signing_key: RandomKey | None = None
    # The key's name, by which verifiers know it; something that is yours, such as example.com/onward.
    audit_log_name: Annotated[str, AfterValidator(_key_name)] = "onward"
    # A tree that has grown is signed after this at the latest.
    audit_checkpoint_seconds: float = Field(default=5, ge=0.1, le=3_600)
    # Where checkpoints are kept outside of Postgres, a file each.
    audit_checkpoint_folder: Path | None = None

    @property
    def signing_seed(self) -> bytes | None:
        """The private key."""
        return key_bytes(self.audit_signing_key)
