"""A zygote whose workers lack a part of their sandbox and do not say so: what the self-test is there to find.

What is missing stands in the name under which it is started: `tests.integration.leaky_zygote` lacks all of it,
`tests.integration.leaky_zygote_seccomp` the filter alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from services.executor.runtime import worker, zygote
from services.executor.runtime.lockdown import close_others


def start(*, locked: bool) -> None:
    """Become the zygote."""
    if not locked:

        def close_only(keep: Iterable[int], *, parent: int) -> list[str]:
            close_others(keep)
            return []

        vars(worker)["lock_down"] = close_only
    vars(worker)["filter_syscalls"] = list
    zygote.main(sys.argv[1:])


if __name__ == "__main__":
    start(locked=False)
