"""Runs the JavaScript."""
