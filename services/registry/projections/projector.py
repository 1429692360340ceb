"""What the modules of projections share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import orjson

from kit.eventstore.facts import Fact
from kit.postgres.pool import Connection

# Changes rows as one fact says.
Projector: TypeAlias = Callable[[Connection, Fact, Any], Awaitable[None]]


def labels_json(labels: Mapping[str, str]) -> str:
    """Labels in one form, whatever the order of a proto map's iteration is."""
    return orjson.dumps(dict(labels), option=orjson.OPT_SORT_KEYS).decode()
