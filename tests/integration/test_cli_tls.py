"""Whom the command line trusts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pydantic import SecretStr

from cli.client_file import ClientFile
from cli.failures import Exit, UsageError, explain
from cli.options import Options
from cli.session import Session
from kit.auth.gate import Gate
from kit.embedded.certificates import authority_file, make_certificates, service_files
from kit.errors import Unavailable
from kit.rpc.server import RpcServer
from kit.rpc.tls import service_tls
from kit.settings import ServiceSettings
from tests.integration.rpc_probe import SERVICE_TOKEN, Roles

pytestmark = pytest.mark.integration


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    make_certificates(tmp_path / "certs", {"registry": ("127.0.0.1",)})
    return tmp_path / "certs"


@pytest.fixture
async def address(certificates: Path) -> AsyncIterator[str]:
    """A registry, as far as health goes."""
    files = service_files(certificates, "registry")
    settings = ServiceSettings(
        service_token=SecretStr(SERVICE_TOKEN),
        tls_certificate=files.certificate,
        tls_key=files.key,
        tls_ca=files.ca,
        internal_listen="127.0.0.1:0",
    )
    server = RpcServer("127.0.0.1:0", [], Gate(Roles(), SERVICE_TOKEN), tls=service_tls(settings, "registry"))
    await server.start()
    await server.ready()
    yield server.address
    await server.stop(0)


async def asked(options: Options) -> int:
    """The health of the registry, as a command with these options finds it."""
    async with Session(options) as session:
        stub = health_pb2_grpc.HealthStub(session.as_anyone())  # type: ignore[no-untyped-call]  # ships no types
        return int((await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)).status)


def known(folder: Path, **values: object) -> Path:
    folder.mkdir()
    ClientFile(folder / "client.json").update(operator_token="operator", **values)
    return folder


async def test_a_data_folder_names_its_authority(address: str, certificates: Path, tmp_path: Path) -> None:
    data = known(tmp_path / "data", addresses={"registry": address}, ca=str(authority_file(certificates)))
    assert await asked(Options(data=data)) == health_pb2.HealthCheckResponse.SERVING


async def test_an_address_that_is_named_is_trusted_by_the_authority_that_is_named(
    address: str, certificates: Path, tmp_path: Path
) -> None:
    data = known(tmp_path / "data", addresses={"registry": "127.0.0.1:1"}, ca=str(authority_file(certificates)))
    with pytest.raises(Unavailable):
        await asked(Options(data=data, registry=address))
    options = Options(data=data, registry=address, ca=str(authority_file(certificates)))
    assert await asked(options) == health_pb2.HealthCheckResponse.SERVING


async def test_another_authority_is_told_with_what_to_do(address: str, tmp_path: Path) -> None:
    make_certificates(tmp_path / "others", {})
    options = Options(data=tmp_path, registry=address, ca=str(authority_file(tmp_path / "others")))
    with pytest.raises(Unavailable) as refused:
        await asked(options)
    told = explain(refused.value)
    assert told is not None
    assert "certificate" in told[0]
    assert "--ca" in told[0]
    assert told[1] == Exit.UNREACHABLE


async def test_an_authority_that_can_not_be_read_is_told(address: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.pem can't be read"):
        await asked(Options(data=tmp_path, registry=address, ca=str(tmp_path / "absent.pem")))


async def test_nothing_leaves_this_machine_in_plaintext(tmp_path: Path) -> None:
    async with Session(Options(data=tmp_path, registry="registry.invalid:7801")) as elsewhere:
        assert elsewhere._credentials("registry") is not None
    async with Session(Options(data=tmp_path, registry="localhost:7801")) as here:
        assert here._credentials("registry") is None


@pytest.mark.parametrize("content", ["", "hello"])
async def test_a_file_that_is_no_authority_is_told(content: str, address: str, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(content)
    with pytest.raises(UsageError, match="holds no certificate"):
        await asked(Options(data=tmp_path, registry=address, ca=str(tmp_path / "ca.pem")))
