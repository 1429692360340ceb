"""Filters: conditions on events and what is done where they hold.

The registry checks them when they are saved, the executor applies them to every event. docs/filters.md is for
those who write them.
"""

from kit.filters.actions import (
    PATHS_MAX,
    Action,
    AllowFields,
    Drop,
    DropFields,
    FilterError,
    FilterSpec,
    HashFields,
    Sample,
    violations,
)
from kit.filters.chain import Applied, FilterChain

# The product's limit for the filters of one destination, one source or one workspace.
FILTERS_MAX = 10

__all__ = [
    "FILTERS_MAX",
    "PATHS_MAX",
    "Action",
    "AllowFields",
    "Applied",
    "Drop",
    "DropFields",
    "FilterChain",
    "FilterError",
    "FilterSpec",
    "HashFields",
    "Sample",
    "violations",
]
