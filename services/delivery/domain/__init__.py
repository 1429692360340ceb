"""What the tracker decides; pure, and without any I/O."""
