"""Subscriptions to alerts in words."""

from __future__ import annotations

from typing import Literal

from cli.output import Cell, last_part, when_short
from onward.delivery.v1 import alerts_pb2 as pb

Kind = Literal[
    "unhealthy",
    "healthy",
    "success-rate",
    "volume",
    "breaker-opened",
    "breaker-closed",
    "exhausted",
    "ingest-failures",
]

COLUMNS = ("subscription", "~told of", "~of what", "~URL", ">waiting", "~last webhook", "creator")


def kind_of(word: Kind) -> pb.AlertKind.ValueType:
    """Give the kind that a word names."""
    return pb.AlertKind.Value("ALERT_KIND_" + word.upper().replace("-", "_"))


def kind_word(kind: pb.AlertKind.ValueType) -> str:
    """Give the word of kind_of."""
    return pb.AlertKind.Name(kind).removeprefix("ALERT_KIND_").lower().replace("_", "-")


def subscription_row(one: pb.Subscription) -> tuple[Cell, ...]:
    """Give a row of COLUMNS."""
    kinds = ", ".join(kind_word(kind) for kind in one.kinds)
    return (last_part(one.name), kinds, _covers(one), one.url, one.pending, _last(one), one.creator)


def _covers(one: pb.Subscription) -> str:
    if one.destination:
        return last_part(one.destination)
    if one.source:
        return f"source {last_part(one.source)}"
    if one.all_sources:
        return "everything"
    return "sources " + ", ".join(last_part(source) for source in one.sources)


def _last(one: pb.Subscription) -> str:
    parts = []
    if one.HasField("last_result"):
        result = one.last_result
        told = result.error or f"taken ({result.http_status})"
        parts.append(f"{when_short(result.time)} {told}")
    if one.undelivered:
        parts.append(f"{one.undelivered} given up")
    return "; ".join(parts)
