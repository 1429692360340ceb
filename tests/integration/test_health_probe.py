"""The health check that the container image runs."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from kit.embedded.data_folder import free_port
from kit.rpc import probe

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
Status = health_pb2.HealthCheckResponse


@pytest.fixture
async def health() -> AsyncIterator[tuple[HealthServicer, int]]:
    """A server with a health service and nothing else, and its port."""
    servicer, server = HealthServicer(), grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]  # no types
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield servicer, port
    await server.stop(0)


async def probed(*arguments: str, **environment: str) -> tuple[int | None, str]:
    given = {name: value for name, value in os.environ.items() if not name.startswith("ONWARD_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "kit.rpc.probe",
        *arguments,
        cwd=ROOT,
        env=given | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


async def test_a_service_that_serves_is_healthy(health: tuple[HealthServicer, int]) -> None:
    servicer, port = health
    await servicer.set("", Status.SERVING)
    assert await probed(f"127.0.0.1:{port}") == (0, f"127.0.0.1:{port} SERVING\n")


async def test_a_service_that_drains_is_unhealthy(health: tuple[HealthServicer, int]) -> None:
    servicer, port = health
    await servicer.set("", Status.NOT_SERVING)
    assert await probed(f"127.0.0.1:{port}") == (1, f"127.0.0.1:{port} NOT_SERVING\n")


async def test_nobody_listening_is_unhealthy() -> None:
    port = free_port()
    assert await probed(f"127.0.0.1:{port}") == (1, f"127.0.0.1:{port} UNAVAILABLE\n")


async def test_without_an_argument_it_asks_the_service_of_its_own_container(health: tuple[HealthServicer, int]) -> None:
    servicer, port = health
    await servicer.set("", Status.SERVING)
    assert await probed(ONWARD_LISTEN=f"0.0.0.0:{port}") == (0, f"127.0.0.1:{port} SERVING\n")


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("a:1", "b:2")])
async def test_wrong_use_is_told_apart_from_an_unhealthy_service(arguments: tuple[str, ...]) -> None:
    code, output = await probed(*arguments)
    assert code == 2
    assert "HOST:PORT" in output


def test_a_silent_server_does_not_hold_the_check_up() -> None:
    # A port of the TEST-NET: nothing answers there, not even with a refusal.
    assert probe.status("192.0.2.1:7801", timeout_s=0.05) in {"DEADLINE_EXCEEDED", "UNAVAILABLE"}
