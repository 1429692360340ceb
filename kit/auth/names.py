"""The workspace in a resource's name, for those who decide before the name has been checked."""


def workspace_in(resource: str) -> str:
    """The workspace's id in a resource name, "" if there is none."""
    parts = resource.split("/", 2)
    return parts[1] if len(parts) > 1 and parts[0] == "workspaces" else ""
