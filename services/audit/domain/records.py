"""A record of the trail as the bytes that its leaf is the hash of.

They are JSON in the canonical form of RFC 8785: keys are ASCII and sorted, numbers are integers below 2**53, so orjson
writes just that. The whole stored record is in them, and the fact that it tells of by its hashes. What a later release
adds is left out where it is empty, so that the bytes of older records stay what they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson

# Of what is always there; a change of it would need a new tree.
VERSION: Final = 1
_OUTCOMES: Final = {1: "succeeded", 2: "denied"}


def record_bytes(row: Mapping[str, Any]) -> bytes:
    """The canonical bytes of a stored event with its fact: columns as `records` of merkle_log.sql answers them."""
    record = {
        "v": VERSION,
        "workspace": row["workspace"],
        "index": row["index"],
        "service": row["service"],
        "position": row["position"],
        "factId": str(row["fact_id"]),
        "occurTime": _time(row["occur_time"]),
        "recordTime": _time(row["record_time"]),
        "principal": row["principal"],
        "credential": row["credential"],
        "action": row["action"],
        "target": {"type": row["target_type"], "id": row["target_id"], "displayName": row["target_display_name"]},
        "outcome": _OUTCOMES.get(row["outcome"], str(row["outcome"])),
        "changes": orjson.loads(row["changes"]),
        "requestId": row["request_id"],
        "traceId": row["trace_id"],
        "fact": {
            "stream": row["fact_stream"],
            "version": row["fact_version"],
            "type": row["fact_type"],
            "dataSha256": row["fact_data_sha256"].hex(),
            "metaSha256": row["fact_meta_sha256"].hex(),
            "recordedAt": _time(row["fact_recorded_at"]),
        },
        **_commitments(row.get("fact_commitments")),
    }
    return orjson.dumps(record, option=orjson.OPT_SORT_KEYS)


def _commitments(stored: str | None) -> dict[str, Any]:
    """Salted hashes of where the act came from; what they are of is kept elsewhere, and can be erased."""
    return {"commitments": orjson.loads(stored)} if stored else {}


def _time(moment: datetime) -> str:
    """In UTC with six digits, whatever the connection's time zone is."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
