"""Signatures of webhooks, as the Standard Webhooks have them (https://www.standardwebhooks.com, version 1.0.0)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping

SECRET_MARK = "whsec_"  # noqa: S105  # what secrets begin with
SALT_BYTES = 16


def secret_of(key: bytes, workspace: str, subscription: str, salt: bytes) -> bytes:
    """What a subscription's webhooks are signed with: made anew each time, so that no table has it."""
    return hmac.new(key, f"{workspace}\0{subscription}\0".encode() + salt, hashlib.sha256).digest()


def shown_secret(secret: bytes) -> str:
    """The secret as receivers are given it."""
    return SECRET_MARK + base64.b64encode(secret).decode()


def signed_headers(secret: bytes, webhook_id: str, timestamp_s: int, body: bytes) -> Mapping[str, str]:
    """What tells the receiver who sent it, and when."""
    content = f"{webhook_id}.{timestamp_s}.".encode() + body
    signature = base64.b64encode(hmac.new(secret, content, hashlib.sha256).digest()).decode()
    return {"webhook-id": webhook_id, "webhook-timestamp": str(timestamp_s), "webhook-signature": f"v1,{signature}"}
