"""What the executor takes from JetStream."""
