"""The JavaScript side and the sandbox."""
