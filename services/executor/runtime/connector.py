"""Makes connections, to checked addresses only."""

import asyncio
import errno
import ssl
from collections.abc import Sequence
from typing import Final

import structlog

from services.executor.runtime.addresses import AddressPolicy, Network
from services.executor.runtime.egress import EgressError, EgressLimits, denied, system_error
from services.executor.runtime.egress_url import Origin
from services.executor.runtime.http_connection import Connection
from services.executor.runtime.resolution import Resolver
from services.executor.runtime.tls import tls_error, tls_hung_up

log = structlog.get_logger(__name__)

_CONNECT_CODES: Final = frozenset(
    ("ECONNREFUSED", "ECONNRESET", "EHOSTUNREACH", "ENETUNREACH", "ETIMEDOUT", "EADDRNOTAVAIL", "EACCES")
)


class Connector:
    """Resolves a host, judges every answer, and connects to what was judged: never to a name."""

    def __init__(self, policy: AddressPolicy, resolver: Resolver, tls: ssl.SSLContext, limits: EgressLimits) -> None:
        self._policy = policy
        self._resolver = resolver
        self._tls = tls
        self._limits = limits

    async def connect(self, origin: Origin, allowed_ranges: tuple[Network, ...], workspace: str = "") -> Connection:
        """A new connection, TLS included; raises EgressError."""
        addresses = await self.checked_addresses(origin, allowed_ranges, workspace)
        failure = system_error("ENOTFOUND", f"getaddrinfo ENOTFOUND {origin.host}")
        for number, address in enumerate(addresses, start=1):
            timeout_ms = self._limits.connect_ms if number == len(addresses) else self._limits.connect_fallback_ms
            try:
                return await self._connect(address, origin, timeout_ms)
            except EgressError as error:
                if not error.network:
                    raise
                failure = error
        raise failure

    async def checked_addresses(
        self, origin: Origin, allowed_ranges: tuple[Network, ...], workspace: str = ""
    ) -> Sequence[str]:
        """All of a host's addresses; denied when a single one is, since any of them could be the one
        reached."""
        if self._policy.is_own_name(origin.host, origin.port):
            raise denied()
        addresses = await self._resolver.addresses(origin.host, workspace)
        for address in addresses:
            reason = self._policy.denial(address, origin.port, allowed_ranges)
            if reason is not None:
                # Not the host: user code may have put a secret into it.
                log.info("egress_denied", port=origin.port, address=address, reason=reason)
                raise denied()
        return addresses[: self._limits.addresses_tried_max]

    async def _connect(self, address: str, origin: Origin, timeout_ms: int) -> Connection:
        loop = asyncio.get_running_loop()
        secure = origin.scheme == "https"
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                _, connection = await loop.create_connection(
                    lambda: Connection(self._limits, loop),
                    address,
                    origin.port,
                    ssl=self._tls if secure else None,
                    server_hostname=origin.host.rstrip(".") if secure else None,
                )
        except TimeoutError as error:
            raise system_error("ETIMEDOUT", f"connect ETIMEDOUT {address}:{origin.port}") from error
        except ssl.SSLError as error:
            raise tls_error(error, origin.host) from error
        except OSError as error:
            raise _refused(error, address, origin) from error
        return connection


def _refused(error: OSError, address: str, origin: Origin) -> EgressError:
    code = errno.errorcode.get(error.errno or 0, "")
    if origin.scheme == "https" and code != "ECONNREFUSED" and isinstance(error, ConnectionError):
        return tls_hung_up()
    if code not in _CONNECT_CODES:
        code = "ECONNREFUSED"
    return system_error(code, f"connect {code} {address}:{origin.port}")
