"""Decisions on members, their roles and tokens."""

from __future__ import annotations

from kit.auth.demand import EVERYTHING, Subset
from onward.registry.v1 import resources_pb2


def scope_of(grant: resources_pb2.RoleGrant) -> Subset:
    """Ids of the functions or sources that a grant holds for."""
    if grant.scope.WhichOneof("scope") != "names":
        return EVERYTHING
    return Subset.of(name.rpartition("/")[2] for name in grant.scope.names.names)
