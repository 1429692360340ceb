"""Loads the fixtures that every test may ask for."""

from hypothesis import HealthCheck, settings

# How long an example takes, or takes to be made up, says something of the machine and nothing of the code.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

pytest_plugins = ["kit.testing.fixtures"]
