"""Starts the zygote: `python -m services.executor.runtime.zygote_main CONTROL_FD RUNTIME_DIR [OPTION...]`.

Options: --jitless, --no-eval. The executor gives it an empty environment.
"""

import os
import sys


def main() -> None:
    """Import nothing before the handlers are out of the way."""
    # Modules register handlers for children: threads to forget, locks to make anew, a random state. A worker is forked
    # by the zygote's only thread that runs Python, draws random numbers from the kernel alone, and never forks. To
    # run the handlers would copy 0.3 MB for each.
    os.register_at_fork = lambda **_: None
    from services.executor.runtime import worker, zygote  # noqa: F401 - what workers run lies together in memory

    zygote.main(sys.argv[1:])


if __name__ == "__main__":
    main()
