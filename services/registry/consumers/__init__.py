"""What the registry does beside its calls: streams for new workspaces, and connections that may no longer be."""
