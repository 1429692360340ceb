"""Which part of a list is for whom."""

from __future__ import annotations

from dataclasses import dataclass

from kit.auth.demand import Subset
from kit.errors import PermissionDenied
from services.registry.domain.rights import Rights


@dataclass(frozen=True, slots=True)
class ShownFunctions:
    """What a list of functions shows: `whole` are those of which more is told than their names."""

    live: bool
    deleted: bool
    whole: Subset


def shown_functions(rights: Rights, *, show_deleted: bool) -> ShownFunctions:
    """Raises PermissionDenied for deleted ones, unless the caller may read their history."""
    if show_deleted and not rights.history:
        raise PermissionDenied(
            "Deleted functions are for owners and auditors. Leave `show_deleted` out.",
            metadata={"permission": "AUDIT_VIEW"},
        )
    return ShownFunctions(live=rights.view, deleted=show_deleted, whole=rights.read)
