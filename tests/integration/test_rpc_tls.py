"""TLS between services and for callers, over real connections."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import psutil
import pytest
import structlog
from cryptography import x509

from kit.auth.gate import Gate
from kit.clock import Clock, FakeClock
from kit.embedded.certificates import VALID, authority_file, make_certificates, service_files
from kit.errors import Internal, InvalidToken, OnwardError, Unavailable
from kit.rpc import probe
from kit.rpc.client import open_channel
from kit.rpc.server import RpcServer
from kit.rpc.tls import RETRY_S, service_tls
from kit.settings import ServiceSettings, SettingsError
from tests.integration.rpc_probe import SERVICE_TOKEN, TOKEN, Probe, Roles, generated, saying

pytestmark = pytest.mark.integration

HERE = ("127.0.0.1",)


@dataclass(frozen=True)
class Certificates:
    """An authority and the certificates of two services, and somebody's of the same authority who is none."""

    folder: Path

    @classmethod
    def made(cls, folder: Path, clock: FakeClock | None = None) -> Certificates:
        make_certificates(folder, dict.fromkeys(("registry", "executor", "intruder"), HERE), clock)
        return cls(folder)

    def ca(self) -> bytes:
        return authority_file(self.folder).read_bytes()

    def credentials(self, service: str, ca: bytes | None = None) -> grpc.ChannelCredentials:
        """What a client presents as this service; it trusts `ca`, by default its own."""
        files = service_files(self.folder, service)
        return grpc.ssl_channel_credentials(ca or self.ca(), files.key.read_bytes(), files.certificate.read_bytes())

    def settings(self, service: str = "registry", /, **other: Any) -> ServiceSettings:
        files = service_files(self.folder, service)
        values: dict[str, Any] = {
            "tls_certificate": files.certificate,
            "tls_key": files.key,
            "tls_ca": files.ca,
            "internal_listen": "127.0.0.1:0",
            "service_token": SERVICE_TOKEN,
        }
        return ServiceSettings(**(values | other))


@pytest.fixture
def ours(tmp_path: Path) -> Certificates:
    return Certificates.made(tmp_path / "ours")


@asynccontextmanager
async def serving(settings: ServiceSettings, clock: Clock | None = None) -> AsyncIterator[RpcServer]:
    servicers = [(generated()[1].add_ProbeServiceServicer_to_server, Probe())]
    tls = service_tls(settings, "registry", clock)
    server = RpcServer(settings.listen, servicers, Gate(Roles(), SERVICE_TOKEN), tls=tls)
    await server.start()
    await server.ready()
    try:
        yield server
    finally:
        await server.stop(0)


@pytest.fixture
async def server(ours: Certificates) -> AsyncIterator[RpcServer]:
    async with serving(ours.settings()) as running:
        yield running


async def inside(address: str, credentials: grpc.ChannelCredentials | None, service: str = "executor") -> str:
    """The principal that a call for services alone is served as."""
    async with open_channel(address, SERVICE_TOKEN, service=service, credentials=credentials) as channel:
        answer = await generated()[1].ProbeServiceStub(channel).Inside(saying("who"))
    return str(answer.text.split()[0])


async def said(address: str, credentials: grpc.ChannelCredentials | None) -> str:
    """What a caller with a token is answered."""
    async with open_channel(address, TOKEN, credentials=credentials) as channel:
        return str((await generated()[1].ProbeServiceStub(channel).Say(saying("hello"))).text)


# ---- who gets in ---------------------------------------------------------------------------------------------------


async def test_a_service_is_who_its_certificate_says_whatever_it_calls_itself(
    ours: Certificates, server: RpcServer
) -> None:
    """H8"""
    credentials = ours.credentials("executor")
    assert await inside(server.internal_address, credentials, service="audit") == "service:executor"


async def test_a_caller_with_a_token_needs_no_certificate(ours: Certificates, server: RpcServer) -> None:
    assert await said(server.address, grpc.ssl_channel_credentials(ours.ca())) == "hello"


@pytest.mark.parametrize("kind", ["another authority's", "expired", "no certificate", "plaintext"])
async def test_only_certificates_of_the_services_authority_get_through_the_handshake(
    kind: str, ours: Certificates, server: RpcServer, tmp_path: Path
) -> None:
    """H8"""
    others = Certificates.made(tmp_path / "others")
    expired = _expired(ours, tmp_path / "expired")
    presented = {
        "another authority's": others.credentials("executor", ca=ours.ca()),
        "expired": expired.credentials("executor"),
        "no certificate": grpc.ssl_channel_credentials(ours.ca()),
        "plaintext": None,
    }[kind]
    with pytest.raises(Unavailable):
        await inside(server.internal_address, presented)
    assert await inside(server.internal_address, ours.credentials("executor")) == "service:executor"


def _expired(ours: Certificates, folder: Path) -> Certificates:
    """A certificate of the same authority that was good until yesterday."""
    shutil.copytree(ours.folder / "authority", folder / "authority")
    clock = FakeClock(datetime.now(UTC) - VALID - timedelta(days=1))
    return Certificates.made(folder, clock)


async def test_the_right_authority_with_the_name_of_no_service_is_refused(
    ours: Certificates, server: RpcServer
) -> None:
    """H8"""
    # Without a service's name the client passes the error on as it came.
    with pytest.raises(InvalidToken, match="onward-executor"):
        await inside(server.internal_address, ours.credentials("intruder"), service="")
    with pytest.raises(Internal, match="ONWARD_TLS_CERTIFICATE"):
        await inside(server.internal_address, ours.credentials("intruder"))


@pytest.mark.parametrize("certificate", [False, True])
async def test_the_service_token_alone_opens_nothing_where_others_call(
    certificate: bool, ours: Certificates, server: RpcServer
) -> None:
    """H8"""
    credentials = ours.credentials("executor") if certificate else grpc.ssl_channel_credentials(ours.ca())
    with pytest.raises(InvalidToken):
        await inside(server.address, credentials, service="")


async def test_a_certificate_alone_opens_nothing(ours: Certificates, server: RpcServer) -> None:
    async with open_channel(server.internal_address, TOKEN, credentials=ours.credentials("executor")) as channel:
        with pytest.raises(OnwardError) as refused:
            await generated()[1].ProbeServiceStub(channel).Inside(saying("who"))
    assert refused.value.code in ("UNAUTHENTICATED", "PERMISSION_DENIED")


async def test_nothing_is_served_in_plaintext_beside_tls(ours: Certificates) -> None:
    """H8"""
    before = _listening()
    async with serving(ours.settings()) as server:
        ports = _listening() - before
        assert ports == {server.port, server.internal_port}
        for port in ports:
            with pytest.raises(Unavailable):
                await said(f"127.0.0.1:{port}", None)


def _listening() -> set[int]:
    sockets = psutil.Process().net_connections("tcp")
    return {one.laddr.port for one in sockets if one.status == psutil.CONN_LISTEN}


# ---- whom callers trust --------------------------------------------------------------------------------------------


async def test_a_caller_refuses_a_server_of_another_authority(
    ours: Certificates, server: RpcServer, tmp_path: Path
) -> None:
    """H8"""
    others = Certificates.made(tmp_path / "others")
    with pytest.raises(Unavailable, match="certificate"):
        await said(server.address, grpc.ssl_channel_credentials(others.ca()))
    with pytest.raises(Unavailable, match="certificate"):
        await inside(server.internal_address, ours.credentials("executor", ca=others.ca()))


async def test_a_caller_refuses_a_server_that_is_not_the_one_it_called(ours: Certificates, server: RpcServer) -> None:
    """H8"""
    # The certificate is for 127.0.0.1 only.
    with pytest.raises(Unavailable, match="certificate"):
        await inside(f"localhost:{server.internal_port}", ours.credentials("executor"))


# ---- renewal -------------------------------------------------------------------------------------------------------


async def test_a_renewed_certificate_is_served_without_a_restart(ours: Certificates, server: RpcServer) -> None:
    before = _served(server.port)
    make_certificates(ours.folder, dict.fromkeys(("registry", "executor"), ("127.0.0.1", "localhost")))
    after = _served(server.port)
    assert before != after
    assert after == _stored(ours)
    assert await inside(f"localhost:{server.internal_port}", ours.credentials("executor")) == "service:executor"


async def test_files_that_do_not_fit_together_leave_the_old_certificate_in_place(
    ours: Certificates, server: RpcServer
) -> None:
    before = _served(server.port)
    service_files(ours.folder, "registry").key.write_bytes(service_files(ours.folder, "executor").key.read_bytes())
    with structlog.testing.capture_logs() as logs:
        assert _served(server.port) == before
        assert _served(server.port) == before
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["certificate_not_renewed"]
    make_certificates(ours.folder, {"registry": HERE})
    assert _served(server.port) == _stored(ours) != before


async def test_a_renewal_that_could_not_be_read_once_is_tried_again(ours: Certificates) -> None:
    files, clock = service_files(ours.folder, "registry"), FakeClock()
    async with serving(ours.settings(), clock) as server:
        before = _served(server.port)
        make_certificates(ours.folder, {"registry": ("127.0.0.1", "localhost")})
        key, renewed = files.key.read_bytes(), files.key.stat()
        files.key.write_bytes(b"x" * len(key))
        os.utime(files.key, ns=(renewed.st_atime_ns, renewed.st_mtime_ns))
        assert _served(server.port) == before
        # Nothing tells that the files are others now than those that were tried.
        files.key.write_bytes(key)
        os.utime(files.key, ns=(renewed.st_atime_ns, renewed.st_mtime_ns))
        assert _served(server.port) == before
        clock.advance(RETRY_S)
        assert _served(server.port) == _stored(ours) != before


def _served(port: int) -> int:
    return x509.load_pem_x509_certificate(ssl.get_server_certificate(("127.0.0.1", port)).encode()).serial_number


def _stored(ours: Certificates) -> int:
    content = service_files(ours.folder, "registry").certificate.read_bytes()
    return x509.load_pem_x509_certificate(content).serial_number


# ---- settings ------------------------------------------------------------------------------------------------------


def refused(settings: ServiceSettings) -> str:
    with pytest.raises(SettingsError) as caught:
        service_tls(settings, "registry")
    told = str(caught.value)
    assert "\n" not in told
    return told


@pytest.mark.parametrize("field", ["tls_certificate", "tls_key", "tls_ca"])
def test_a_file_that_can_not_be_used_is_told_with_its_variable(field: str, ours: Certificates, tmp_path: Path) -> None:
    name, absent, nonsense = f"ONWARD_{field.upper()}: ", tmp_path / "absent.pem", tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    assert (
        refused(ours.settings("registry", **{field: absent}))
        == f"{name}{absent} can't be read (No such file or directory)"
    )
    assert refused(ours.settings(**{field: nonsense})).startswith(f"{name}{nonsense} holds no ")


def test_a_key_of_another_certificate_is_told(ours: Certificates) -> None:
    other = service_files(ours.folder, "executor").key
    assert refused(ours.settings(tls_key=other)) == (
        f"ONWARD_TLS_KEY: {other} is not the key of the certificate in ONWARD_TLS_CERTIFICATE"
    )


def test_the_certificate_of_another_service_is_told(ours: Certificates) -> None:
    assert refused(ours.settings("executor")).endswith(
        "is not one of the registry service: its DNS names lack onward-registry"
    )


def test_an_expired_certificate_is_told(ours: Certificates, tmp_path: Path) -> None:
    """H8"""
    assert "expired on" in refused(_expired(ours, tmp_path / "expired").settings())


def test_a_certificate_that_expires_soon_is_logged(ours: Certificates, tmp_path: Path) -> None:
    folder = tmp_path / "soon"
    shutil.copytree(ours.folder / "authority", folder / "authority")
    soon = Certificates.made(folder, FakeClock(datetime.now(UTC) - VALID + timedelta(days=20)))
    with structlog.testing.capture_logs() as logs:
        service_tls(soon.settings(), "registry")
        service_tls(ours.settings(), "registry")
    assert [line["event"] for line in logs] == ["certificate_expires_soon"]


# ---- health --------------------------------------------------------------------------------------------------------


async def test_the_health_check_speaks_tls(
    ours: Certificates, server: RpcServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = service_files(ours.folder, "registry")
    monkeypatch.setenv("ONWARD_LISTEN", f"0.0.0.0:{server.port}")
    monkeypatch.setenv("ONWARD_TLS_CERTIFICATE", str(files.certificate))
    monkeypatch.setenv("ONWARD_TLS_CA", str(files.ca))
    assert await _probed() == 0
    monkeypatch.setenv("ONWARD_LISTEN", f"localhost:{server.port}")
    assert await _probed() == 0, "the service's own certificate is good by whatever name the check calls"
    assert await _probed(f"127.0.0.1:{server.port}") == 0
    assert await _probed(f"localhost:{server.port}") == 1, "another service has to have the name that it is called by"
    monkeypatch.setenv("ONWARD_TLS_CA", str(files.key))
    assert await _probed(f"127.0.0.1:{server.port}") == 1
    assert capsys.readouterr().err == ""


async def _probed(*arguments: str) -> int:
    # It blocks, and the server answers in this loop.
    return await asyncio.to_thread(probe.main, arguments)
