"""Batches of outcomes to rows."""
