"""Which part of a list, or of a resource, is for whom."""

from __future__ import annotations

from dataclasses import dataclass

from kit.auth.demand import Subset
from kit.errors import PermissionDenied
from onward.registry.v1 import resources_pb2
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


def told_workspace(workspace: resources_pb2.Workspace, rights: Rights) -> resources_pb2.Workspace:
    """What is shown of a workspace: all to owners, and to others that it exists.

    Who may create functions is told how many there may be, and whether that is so by the policy for all members.
    """
    if rights.administer:
        return workspace
    told = resources_pb2.Workspace(name=workspace.name, display_name=workspace.display_name)
    if rights.edit.all:
        told.functions_max = workspace.functions_max
        told.members_may_edit_functions = workspace.members_may_edit_functions
    return told


def told_source(source: resources_pb2.Source, sources: Subset) -> resources_pb2.Source:
    """What somebody is told who administers these sources: of others, that they exist."""
    if source.name.rpartition("/")[2] in sources:
        return source
    # The subject says no more than the name.
    return resources_pb2.Source(name=source.name, display_name=source.display_name, subject=source.subject)


def told_destination(
    destination: resources_pb2.Destination, sources: Subset, functions: Subset
) -> resources_pb2.Destination:
    """What somebody is told who administers these sources and reads these functions.

    Values of settings belong to those who may set them, who need both.
    """
    source, function = (name.rpartition("/")[2] for name in (destination.source, destination.function))
    if source not in sources or function not in functions:
        for setting in destination.settings:
            setting.ClearField("value")
    return destination
