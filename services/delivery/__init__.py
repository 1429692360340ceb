"""Tracks every delivery, retries, counts."""
