"""The one place where a driver's failure becomes an error that a caller may see.

A failure of the server or of the way to it is `Unavailable`: the caller may try again, with the same
request_id. Everything else (a broken constraint, bad SQL) is a fault of ours and passes unchanged, so that it
is logged as one. Messages never carry the driver's text: it may quote rows.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
import structlog

from kit.errors import Unavailable

log = structlog.get_logger(__name__)

# What passes by itself when the server is back, the lock is free or the disk has room.
TRANSIENT_FAILURES: tuple[type[BaseException], ...] = (
    OSError,  # also TimeoutError: no answer, or no free connection, in time
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shutdown, crash recovery, statement_timeout
    asyncpg.InsufficientResourcesError,  # too many connections, disk full, out of memory
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,  # a failover left us on the replica
    asyncpg.InternalClientError,  # the protocol was cut in the middle of a message
)

# A caller should not come back sooner: a restart of Postgres takes about as long.
RETRY_AFTER_S = 1.0


@contextmanager
def translating() -> Iterator[None]:
    """Turn a transient failure of Postgres into `Unavailable`."""
    try:
        yield
    except asyncpg.InterfaceError as failure:
        if not _says_closed(failure):
            raise
        raise _unavailable(failure) from failure
    except TRANSIENT_FAILURES as failure:
        raise _unavailable(failure) from failure


def _says_closed(failure: asyncpg.InterfaceError) -> bool:
    # InterfaceError covers misuse as well, which must stay visible as a bug; only its text tells them apart.
    return "closed" in str(failure) or "closing" in str(failure)


def _unavailable(failure: BaseException) -> Unavailable:
    log.warning("postgres_unavailable", failure=type(failure).__name__)
    return Unavailable("The database does not answer; try again.", retry_after_s=RETRY_AFTER_S)
