"""What the tracker does by itself, and what its RPCs ask for."""
