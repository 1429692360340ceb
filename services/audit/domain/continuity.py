"""Whether what an owner answers can be the continuation of its log."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from kit.eventstore.envelope import OwnedFact
from kit.eventstore.facts import Fact


def fault_in(service: str, workspace: str, first: int, answered: Sequence[OwnedFact]) -> str:
    """Why the answer can't be the facts of a workspace from a position on; "" where it can."""
    versions: dict[str, int] = {}
    ids: set[str] = set()
    for position, (owner, fact) in enumerate(answered, start=first):
        if (owner, fact.workspace, fact.position) != (service, workspace, position):
            told = f"{owner}/{fact.workspace}/{fact.position}"
            return f"{told} is in the place of {service}/{workspace}/{position}"
        if wrong := _wrong_in(fact, versions.get(fact.stream), ids):
            return f"{wrong} at {position}"
        versions[fact.stream] = fact.version
        ids.add(fact.fact_id)
    return ""


def _wrong_in(fact: Fact, version: int | None, ids: set[str]) -> str:
    if not fact.stream or not fact.type or fact.version < 1:
        return "a fact without a stream, a type or a version is"
    if version is not None and fact.version != version + 1:
        return f"{fact.stream} goes on with version {fact.version} after {version}"
    if not _is_uuid(fact.fact_id):
        return f"an id that is none ({fact.fact_id[:64]!r}) is"
    return "the id of another fact is" if fact.fact_id in ids else ""


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
