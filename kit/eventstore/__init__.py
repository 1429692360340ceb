"""The event log: facts in the order of their commits, and how they reach everybody else."""
