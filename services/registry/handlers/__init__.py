"""Commands: load, decide, append, project, remember; one transaction each."""
