"""What the trail tells of facts; pure, and without any I/O."""
