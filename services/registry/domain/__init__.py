"""What the registry decides: pure functions from state and request to facts, or to an error."""
