"""What the executor does with each delivery: queue, run, settle."""
