"""What a call needs, and which part of a workspace somebody's rights reach."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from kit.auth.names import rights_scope, workspace_in


@dataclass(frozen=True, slots=True)
class Demand:
    """What an RPC needs, as its proto declares it and its request names it.

    `permission` is a number of `onward.common.v1.Permission`; `resource` is a name that starts with
    `workspaces/{workspace}`, or "" for permissions that belong to no workspace. `also` holds further pairs of the
    same kind. With `partial`, holding the permission for a part of the resource is enough.
    """

    permission: int
    resource: str = ""
    also: tuple[tuple[int, str], ...] = ()
    partial: bool = False

    @property
    def workspace(self) -> str:
        """The workspace's id, "" for none."""
        return workspace_in(self.resource)

    @property
    def pairs(self) -> tuple[tuple[int, str], ...]:
        """All permissions with their resources."""
        return ((self.permission, self.resource), *self.also)

    @property
    def scope(self) -> Demand:
        """What all demands have in common that are decided alike."""
        also = tuple((permission, rights_scope(resource)) for permission, resource in self.also)
        return replace(self, resource=rights_scope(self.resource), also=also)


@dataclass(frozen=True, slots=True)
class Subset:
    """Ids of one kind: all of them, present and future, or those listed."""

    all: bool = False
    ids: frozenset[str] = frozenset()

    @classmethod
    def of(cls, ids: Iterable[str]) -> Subset:
        return cls(False, frozenset(ids))

    def __contains__(self, item: str) -> bool:
        return self.all or item in self.ids

    def __bool__(self) -> bool:
        return self.all or bool(self.ids)

    def __or__(self, other: Subset) -> Subset:
        return EVERYTHING if self.all or other.all else Subset(False, self.ids | other.ids)

    def __and__(self, other: Subset) -> Subset:
        if self.all:
            return other
        return self if other.all else Subset(False, self.ids & other.ids)


EVERYTHING = Subset(all=True)
NOTHING = Subset()
