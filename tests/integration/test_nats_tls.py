"""NATS by TLS: for `tls://` URLs, trusting ONWARD_TLS_CA and nobody else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from kit.bus.connection import connect
from kit.bus.service_bus import connect_service
from kit.bus.tls import tls_context
from kit.embedded.certificates import authority_file, make_certificates, service_files
from kit.embedded.data_folder import free_port, is_port_free
from kit.embedded.nats import nats_program
from kit.errors import Unavailable
from kit.settings import ServiceSettings, SettingsError
from kit.testing.eventually import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """A server that takes nothing but TLS; its authority is in `tmp_path`."""
    make_certificates(tmp_path, {"nats": ("127.0.0.1",)})
    files, port = service_files(tmp_path, "nats"), free_port()
    tls = {"cert_file": str(files.certificate), "key_file": str(files.key)}
    config = tmp_path / "nats.conf"
    config.write_text(json.dumps({"listen": f"127.0.0.1:{port}", "tls": tls}))
    with (tmp_path / "nats.log").open("wb") as log:
        server = await asyncio.create_subprocess_exec(nats_program(), "-c", config, stdout=log, stderr=log)
    try:
        await eventually(lambda: not is_port_free(port))
        yield f"tls://127.0.0.1:{port}"
    finally:
        server.terminate()
        await server.wait()


def settings(url: str, ca: Path | None) -> ServiceSettings:
    return ServiceSettings(
        service_token=SecretStr("a token of the tests"), nats_url=url, tls_ca=ca, durability="relaxed"
    )


async def test_a_service_reaches_nats_by_tls_with_the_authority_of_its_settings(url: str, tmp_path: Path) -> None:
    bus = await connect_service("registry", settings(url, authority_file(tmp_path)))
    await bus.flush()
    await bus.close()


async def test_a_server_of_another_authority_is_refused(url: str, tmp_path: Path) -> None:
    """H8"""
    make_certificates(tmp_path / "others", {})
    for ca in (None, authority_file(tmp_path / "others")):
        with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
            await connect(url, name="test", tls=tls_context(url, ca), timeout_s=5)


async def test_an_authority_that_can_not_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "nonsense.pem").write_text("nonsense")
    for name in ("absent.pem", "nonsense.pem"):
        with pytest.raises(SettingsError, match=rf"^ONWARD_TLS_CA: [^\n]*{name}[^\n]*$"):
            await connect_service("registry", settings("tls://127.0.0.1:1", tmp_path / name))
