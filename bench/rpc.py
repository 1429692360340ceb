"""What TLS costs a small call between services on the loopback: `python -m bench.rpc`.

Client and server share one process, so its CPU time is that of both sides. Plaintext and TLS take turns; the medians of
their rounds are compared.
"""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import structlog
import uvloop
from pydantic import SecretStr

from kit.auth.caller import Caller
from kit.auth.demand import Demand
from kit.auth.gate import Gate
from kit.embedded.certificates import make_certificates, service_files
from kit.errors import InvalidToken
from kit.rpc.client import open_channel
from kit.rpc.server import RpcServer
from kit.rpc.tls import PLAINTEXT, Tls, service_tls
from kit.settings import ServiceSettings
from onward.delivery.v1 import internal_service_pb2 as pb
from onward.delivery.v1 import internal_service_pb2_grpc as rpc

TOKEN = "bench-bench-bench"
REQUEST = pb.LookupOutcomesRequest(workspace="a")
ROUNDS = 9
CALLS = 1_000
CONNECTIONS = 50


class Nobody:
    """No user is known here."""

    async def authorize(self, token: str, demand: Demand) -> Caller:
        raise InvalidToken("unknown")


class Tracker(rpc.InternalServiceServicer):
    """Answers at once."""

    async def LookupOutcomes(  # noqa: N802
        self, request: pb.LookupOutcomesRequest, context: Any
    ) -> pb.LookupOutcomesResponse:
        return pb.LookupOutcomesResponse()


def _tracker() -> Tracker:
    return Tracker()  # type: ignore[abstract]  # answers the one call that is measured


@asynccontextmanager
async def serving(tls: Tls) -> AsyncIterator[str]:
    server = RpcServer(
        "127.0.0.1:0", [(rpc.add_InternalServiceServicer_to_server, _tracker())], Gate(Nobody(), TOKEN), tls=tls
    )
    await server.start()
    try:
        yield server.internal_address
    finally:
        await server.stop(0)


def channel(address: str, tls: Tls) -> grpc.aio.Channel:
    return open_channel(address, TOKEN, service="registry", credentials=tls.client)


async def call(connection: grpc.aio.Channel) -> None:
    stub: rpc.InternalServiceAsyncStub = rpc.InternalServiceStub(connection)
    await stub.LookupOutcomes(REQUEST)


async def calls_us(address: str, tls: Tls) -> float:
    """Give the CPU time of a call on an open connection."""
    async with channel(address, tls) as connection:
        await call(connection)
        began = time.process_time()
        for _ in range(CALLS):
            await call(connection)
        return (time.process_time() - began) / CALLS * 1e6


async def first_calls_ms(address: str, tls: Tls) -> float:
    """Give the time of a first call by the clock: connection, handshake, answer."""
    began = time.perf_counter()
    for _ in range(CONNECTIONS):
        async with channel(address, tls) as connection:
            await call(connection)
    return (time.perf_counter() - began) / CONNECTIONS * 1e3


def certificates(folder: Path) -> Tls:
    make_certificates(folder, {"registry": ("127.0.0.1",)})
    files = service_files(folder, "registry")
    settings = ServiceSettings(
        service_token=SecretStr(TOKEN),
        tls_certificate=files.certificate,
        tls_key=files.key,
        tls_ca=files.ca,
        internal_listen="127.0.0.1:0",
    )
    return service_tls(settings, "registry")


async def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    found: dict[str, list[tuple[float, float]]] = {"plaintext": [], "mutual TLS": []}
    with tempfile.TemporaryDirectory(prefix="onward-bench-") as folder:
        for _ in range(ROUNDS):
            # Credentials serve one server each.
            for name, tls in {"plaintext": PLAINTEXT, "mutual TLS": certificates(Path(folder))}.items():
                async with serving(tls) as address:
                    found[name].append((await calls_us(address, tls), await first_calls_ms(address, tls)))
    for name, rounds in found.items():
        call_us, first_ms = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"{name:<11} {call_us:6.0f} us of CPU a call, {first_ms:5.2f} ms a first call")
    ratio = statistics.median(tls[0] / plain[0] for plain, tls in zip(*found.values(), strict=True))
    print(f"TLS : plaintext, a call = {ratio:.3f}")


if __name__ == "__main__":
    uvloop.run(main())
