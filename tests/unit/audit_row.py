"""How one fact reads in the trail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

Told = tuple[str, Message]


@dataclass(frozen=True)
class Row:
    """A fact, those before it, and what the trail must tell: target, name, and changes as (field, before, after)."""

    fact: Told
    target: str
    name: str
    changes: Sequence[tuple[str, Any, Any]]
    before: Sequence[Told] = ()
    workspace: str = "acme"
