"""The egress broker and certificates: always verified, failures worded as Node words them."""

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.executor.runtime.egress import EgressRequest
from tests.integration.egress_world import World, answering, refused, scope

pytestmark = pytest.mark.integration

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecure"


class Authority:
    """A certificate authority of one test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        self._certificate = self._sign(self._name, self._key, days=1, ca=True)
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def server(
        self, *, days: int = 1, self_signed: bool = False, names: tuple[str, ...] = ("api.test",)
    ) -> ssl.SSLContext:
        """A server's context with a certificate that ends `days` from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
        signer = key if self_signed else None
        certificate = self._sign(subject, key, days=days, names=names, signer=signer)
        file = self._folder / "server.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        *,
        days: int,
        ca: bool = False,
        names: tuple[str, ...] = (),
        signer: ec.EllipticCurvePrivateKey | None = None,
    ) -> x509.Certificate:
        end = datetime.now(UTC) + timedelta(days=days)
        alternatives: list[x509.GeneralName] = [
            x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name) for name in names
        ]
        issuer_key = signer or self._key
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if signer else self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(end - timedelta(days=10))
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        )
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return builder.sign(issuer_key, hashes.SHA256())


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        yield World(stack)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def test_a_valid_certificate_is_accepted_for_its_name_and_for_its_address(
    world: World, authority: Authority
) -> None:
    port = await world.raw(answering(OK, keep=True), ssl=authority.server(names=("api.test", "127.0.0.1")))
    broker = await world.broker(ca_file=authority.ca_file)
    for host in ("api.test", "127.0.0.1"):
        response = await broker.fetch(EgressRequest("GET", f"https://{host}:{port}/"), scope())
        assert response.body == b"secure"


@pytest.mark.parametrize(
    ("options", "host", "code", "message"),
    [
        ({"days": -1}, "api.test", "CERT_HAS_EXPIRED", "certificate has expired"),
        ({"days": 20}, "api.test", "CERT_NOT_YET_VALID", "certificate is not yet valid"),
        ({"self_signed": True}, "api.test", "DEPTH_ZERO_SELF_SIGNED_CERT", "self-signed certificate"),
        ({}, "other.test", "ERR_TLS_CERT_ALTNAME_INVALID", "Hostname/IP does not match certificate's altnames"),
        ({}, "127.0.0.1", "ERR_TLS_CERT_ALTNAME_INVALID", "Hostname/IP does not match certificate's altnames"),
    ],
)  # fmt: skip
async def test_bad_certificates_are_refused(
    world: World, authority: Authority, options: dict[str, object], host: str, code: str, message: str
) -> None:
    """F14: expired, early, self-signed, wrong host; terminal, since no retry mends a certificate."""
    port = await world.raw(answering(OK), ssl=authority.server(**options))  # type: ignore[arg-type]  # options of mixed types
    error = await refused(await world.broker(ca_file=authority.ca_file), f"https://{host}:{port}/")
    assert (error.code, error.type, error.network) == (code, "system", False)
    assert error.message.startswith(message)


async def test_an_unknown_authority_is_refused(world: World, authority: Authority) -> None:
    """F14"""
    port = await world.raw(answering(OK), ssl=authority.server())
    error = await refused(await world.broker(), f"https://api.test:{port}/")
    assert error.code in ("UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "UNABLE_TO_VERIFY_LEAF_SIGNATURE")


async def test_plain_text_where_tls_is_expected_is_a_protocol_error(world: World) -> None:
    """F14"""

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read(-1)

    port = await world.raw(plain)
    error = await refused(await world.broker(), f"https://api.test:{port}/")
    assert (error.code, error.network) == ("EPROTO", False)


async def test_a_close_during_the_handshake_is_a_network_error(world: World) -> None:
    """F14"""

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)

    port = await world.raw(close)
    error = await refused(await world.broker(), f"https://api.test:{port}/")
    assert (error.code, error.network) == ("ECONNRESET", True)
    assert error.message == "Client network socket disconnected before secure TLS connection was established"


async def test_a_redirect_from_https_to_http_is_denied(world: World, authority: Authority) -> None:
    """F6"""
    plain = await world.app()
    location = f"HTTP/1.1 302 Found\r\nLocation: http://api.test:{plain}/echo\r\nContent-Length: 0\r\n\r\n"
    port = await world.raw(answering(location.encode()), ssl=authority.server())
    error = await refused(await world.broker(ca_file=authority.ca_file), f"https://api.test:{port}/")
    assert error.code == "EGRESS_DENIED"
    assert world.seen == []


async def test_no_proxy_comes_from_the_environment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://10.0.0.1:3128")
    port = await world.app()
    response = await (await world.broker()).fetch(EgressRequest("GET", f"http://api.test:{port}/echo"), scope())
    assert response.status == 200
