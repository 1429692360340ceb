"""What a resource's name says to those who decide before the name has been checked."""

# Collections whose members roles can be limited to, or hang on.
_SCOPED = frozenset({"functions", "sources", "destinations"})


def workspace_in(resource: str) -> str:
    """The workspace's id in a resource name, "" if there is none."""
    parts = resource.split("/", 2)
    return parts[1] if len(parts) > 1 and parts[0] == "workspaces" else ""


def rights_scope(resource: str) -> str:
    """The part of a resource's name that rights depend on: its function, source or destination, or else the workspace.

    A delivery of a destination is as open as the destination, a record of the trail as the trail.
    """
    parts = resource.split("/", 4)
    return "/".join(parts[: 4 if len(parts) > 2 and parts[2] in _SCOPED else 2])
