"""Functions, versions, sources, destinations, tokens."""
