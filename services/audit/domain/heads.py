"""The tree of heads: its leaves say what was signed of every workspace's tree, in the order of signing.

Whoever keeps a checkpoint of it holds the operator to all workspaces at once: one that vanishes or falls back no
longer agrees with a leaf that cannot be taken out.
"""

from __future__ import annotations

import base64
from typing import Final

import orjson

from services.audit.domain.checkpoints import Checkpoint, time_text

# Under which it is kept among the workspaces' trees. Ids begin with a letter, so no workspace has this one.
HEADS: Final = "_workspaces"


def head_bytes(workspace: str, signed: Checkpoint) -> bytes:
    """The canonical bytes of a leaf."""
    head = {
        "workspace": workspace,
        "size": signed.size,
        "root": base64.b64encode(signed.root).decode(),
        "time": time_text(signed.time),
    }
    return orjson.dumps(head, option=orjson.OPT_SORT_KEYS)
