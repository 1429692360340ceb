"""What somebody may do in a workspace: roles to rights, and rights against what a call demands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from kit.auth.demand import EVERYTHING, NOTHING, Subset
from onward.common.v1 import access_pb2 as access
from onward.registry.v1 import resources_pb2 as pb


@dataclass(frozen=True, slots=True)
class Rights:
    """What the roles of a member, or the grants of a token, allow.

    `administer` is what owners alone may: members, roles, tokens, new sources. `view` is that the workspace, its
    sources and its functions' names exist. `edit` and `read` are functions, `sources` those administered.
    """

    administer: bool = False
    audit: bool = False
    view: bool = False
    edit: Subset = NOTHING
    read: Subset = NOTHING
    sources: Subset = NOTHING

    @property
    def history(self) -> bool:
        """Of deleted functions."""
        return self.administer or self.audit

    def __or__(self, other: Rights) -> Rights:
        return Rights(
            administer=self.administer or other.administer,
            audit=self.audit or other.audit,
            view=self.view or other.view,
            edit=self.edit | other.edit,
            read=self.read | other.read,
            sources=self.sources | other.sources,
        )

    def __and__(self, other: Rights) -> Rights:
        return Rights(
            administer=self.administer and other.administer,
            audit=self.audit and other.audit,
            view=self.view and other.view,
            edit=self.edit & other.edit,
            read=self.read & other.read,
            sources=self.sources & other.sources,
        )


OWNER = Rights(administer=True, audit=True, view=True, edit=EVERYTHING, read=EVERYTHING, sources=EVERYTHING)
NOBODY = Rights()


@dataclass(frozen=True, slots=True)
class Target:
    """A resource as far as rights are concerned.

    `kind` is the collection's name, "" for the workspace itself. Of a destination, `function` and `source` are
    those that it connects; "" where there is no such thing, which only rights on everything cover.
    """

    kind: str = ""
    function: str = ""
    source: str = ""
    # A deleted function, whose history is for owners and auditors.
    deleted: bool = False


def granted(grants: Iterable[tuple[pb.Role.ValueType, Subset]], *, members_may_edit: bool = False) -> Rights:
    """The union of roles, each with the functions or sources that it holds for."""
    rights = NOBODY
    for role, scope in grants:
        rights = rights | _of_role(role, scope)
    if members_may_edit and rights.view:
        rights = replace(rights, edit=EVERYTHING, read=EVERYTHING)
    return rights


def _of_role(role: pb.Role.ValueType, scope: Subset) -> Rights:
    if role == pb.ROLE_OWNER:
        return OWNER
    if role == pb.ROLE_FUNCTIONS_ADMIN:
        return Rights(view=True, edit=scope, read=scope)
    if role == pb.ROLE_FUNCTIONS_READ_ONLY:
        return Rights(view=True, read=scope)
    if role == pb.ROLE_SOURCE_ADMIN:
        return Rights(view=True, sources=scope)
    if role == pb.ROLE_MEMBER:
        return Rights(view=True)
    if role == pb.ROLE_AUDITOR:
        return Rights(audit=True)
    # A role of a newer release: nothing is safer than a guess.
    return NOBODY


def allows(rights: Rights, permission: int, target: Target, *, partial: bool = False) -> bool:
    """Whether the rights carry the permission on the target, or with `partial` on a part of it."""
    if permission == access.PERMISSION_WORKSPACE_ENTER:
        return rights != NOBODY
    if permission == access.PERMISSION_WORKSPACE_VIEW:
        return rights.view
    if permission == access.PERMISSION_WORKSPACE_ADMINISTER:
        return rights.administer
    if permission == access.PERMISSION_AUDIT_VIEW:
        return rights.audit
    if permission == access.PERMISSION_FUNCTION_CREATE:
        return rights.edit.all
    if permission in _FUNCTION_PERMISSIONS:
        return _on_function(rights, permission, target)
    if permission in (access.PERMISSION_FILTER_VIEW, access.PERMISSION_FILTER_ADMINISTER):
        return _on_filters(rights, permission, target)
    return _on_destination(rights, permission, target, partial=partial)


def allows_anywhere(rights: Rights, permission: int, kind: str) -> bool:
    """Whether the rights carry the permission on everything of a collection, also deleted; on the workspace for ""."""
    if kind == "functions":
        return all(allows(rights, permission, Target(kind, deleted=deleted)) for deleted in (False, True))
    return allows(rights, permission, Target(kind))


_FUNCTION_PERMISSIONS = (access.PERMISSION_FUNCTION_VIEW, access.PERMISSION_FUNCTION_EDIT)


def _on_function(rights: Rights, permission: int, target: Target) -> bool:
    if target.deleted:
        return rights.history and (permission == access.PERMISSION_FUNCTION_VIEW or rights.administer)
    # Of the workspace, which has no function's id, it is asked for code of none yet: whoever may create one may.
    reach = rights.edit if permission == access.PERMISSION_FUNCTION_EDIT else rights.read
    return target.function in reach


def _on_filters(rights: Rights, permission: int, target: Target) -> bool:
    if target.kind == "destinations":
        views = permission == access.PERMISSION_FILTER_VIEW
        needed = access.PERMISSION_DESTINATION_VIEW if views else access.PERMISSION_DESTINATION_ADMINISTER
        return _on_destination(rights, needed, target)
    if target.kind == "sources":
        return target.source in rights.sources
    # The workspace's own apply before everybody's: who has a source sees them, owners change them.
    return rights.administer or (permission == access.PERMISSION_FILTER_VIEW and bool(rights.sources))


def _on_destination(rights: Rights, permission: int, target: Target, *, partial: bool = False) -> bool:
    reads, administers = target.function in rights.read, target.source in rights.sources
    if partial and not target.kind:
        reads, administers = bool(rights.read), bool(rights.sources)
    if permission == access.PERMISSION_DESTINATION_VIEW:
        return reads or administers
    if permission in (access.PERMISSION_SOURCE_ADMINISTER, access.PERMISSION_DELIVERY_VIEW):
        return administers
    if permission in (access.PERMISSION_DESTINATION_ADMINISTER, access.PERMISSION_DELIVERY_OPERATE):
        return administers and reads
    return False


_BOTH = "Owner, or Source Admin of its source with Functions Admin or Functions Read-only of its function"
_EITHER = "Owner, Source Admin of its source, or Functions Admin or Functions Read-only of its function"
_ON_SOURCE = "Owner, or Source Admin of the source"

_ALLOWING: dict[int, str] = {
    access.PERMISSION_WORKSPACE_ENTER: "any",
    access.PERMISSION_WORKSPACE_VIEW: "any but Auditor",
    access.PERMISSION_WORKSPACE_ADMINISTER: "Owner",
    access.PERMISSION_AUDIT_VIEW: "Owner or Auditor",
    access.PERMISSION_FUNCTION_CREATE: "Owner, or Functions Admin of all functions",
    access.PERMISSION_FUNCTION_VIEW: "Owner, or Functions Admin or Functions Read-only of it",
    access.PERMISSION_FUNCTION_EDIT: "Owner, or Functions Admin of it",
    access.PERMISSION_SOURCE_ADMINISTER: _ON_SOURCE,
    access.PERMISSION_DELIVERY_VIEW: _ON_SOURCE,
    access.PERMISSION_DELIVERY_OPERATE: _BOTH,
    access.PERMISSION_DESTINATION_VIEW: _EITHER,
    access.PERMISSION_DESTINATION_ADMINISTER: _BOTH,
    # The workspace's own filters.
    access.PERMISSION_FILTER_VIEW: "Owner, or Source Admin of a source",
    access.PERMISSION_FILTER_ADMINISTER: "Owner",
}
_ALLOWING_IN: dict[tuple[int, str], str] = {
    # Of the whole workspace these are asked where a part is enough.
    (access.PERMISSION_DELIVERY_VIEW, ""): "Owner, or Source Admin of a source",
    (access.PERMISSION_DESTINATION_VIEW, ""): "Owner, Source Admin, Functions Admin or Functions Read-only",
    # Of a function that does not exist yet.
    (access.PERMISSION_FUNCTION_EDIT, ""): "Owner, or Functions Admin of all functions",
    (access.PERMISSION_FILTER_VIEW, "sources"): _ON_SOURCE,
    (access.PERMISSION_FILTER_VIEW, "destinations"): _EITHER,
    (access.PERMISSION_FILTER_ADMINISTER, "sources"): _ON_SOURCE,
    (access.PERMISSION_FILTER_ADMINISTER, "destinations"): _BOTH,
}


def roles_that_allow(permission: int, kind: str) -> str:
    """For people, by the collection that the resource's name is in; what it is, or whether it is, has no part in it."""
    return _ALLOWING_IN.get((permission, kind)) or _ALLOWING.get(permission, "Owner")
