"""NATS JetStream as fast as a Python process can use it: one connection, standing pulls, joined writes."""
