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
# Points (kit/fql/cost.py) that the enabled filters of one of these may take together, 3 ms: with those of all three, an
# event that was made for it takes some 10 ms, while all others wait.
COST_MAX = 300

__all__ = [
    "COST_MAX",
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
