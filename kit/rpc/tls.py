"""TLS by settings: a service's certificate for callers, for other services, and towards them.

gRPC can demand a certificate of every client of a port or of none, so there are two ports: `ONWARD_LISTEN` for
people and programs, who have tokens, and `ONWARD_INTERNAL_LISTEN` for services, who must present a certificate of the
services' own authority. Renewed files are read again for new connections; calls to others keep the certificate that
they began with until the service restarts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from kit.clock import Clock, SystemClock
from kit.rpc.identity import certificate_name
from kit.settings import ServiceSettings, SettingsError, variable

log = structlog.get_logger(__name__)

# Enough to renew by hand; `onward up` renews at a start that comes within it.
EXPIRES_SOON = timedelta(days=30)
# A certificate with its chain has some KiB; whatever is larger is another kind of file.
PEM_BYTES_MAX = 1024 * 1024
# Files that could not be used, and have not changed since, are read again after so long: anybody may begin handshakes.
RETRY_S = 1.0

# Device, inode, size and time of change of each file.
_Stamp = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Tls:
    """What a service listens and calls with; each is None where it runs without TLS, on the loopback."""

    public: grpc.ServerCredentials | None = None
    internal: grpc.ServerCredentials | None = None
    internal_listen: str | None = None
    client: grpc.ChannelCredentials | None = None


PLAINTEXT = Tls()


def service_tls(settings: ServiceSettings, service: str, clock: Clock | None = None) -> Tls:
    """Read the files that the settings name; SettingsError, in one line, for what can't be used."""
    if settings.tls_certificate is None or settings.tls_key is None or settings.tls_ca is None:
        return PLAINTEXT
    files = _Files(service, settings.tls_certificate, settings.tls_key, settings.tls_ca)
    pem = files.read()
    return Tls(
        public=_renewable(files, pem, clock, mutual=False),
        internal=_renewable(files, pem, clock, mutual=True),
        internal_listen=settings.internal_listen,
        client=grpc.ssl_channel_credentials(pem.ca, pem.key, pem.certificate),
    )


@dataclass(frozen=True, slots=True)
class _Pem:
    certificate: bytes
    key: bytes
    ca: bytes

    def configuration(self, *, mutual: bool) -> grpc.ServerCertificateConfiguration:
        pair = (self.key, self.certificate)
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=self.ca if mutual else None)


@dataclass(frozen=True, slots=True)
class _Files:
    """The three files of a service."""

    service: str
    certificate: Path
    key: Path
    ca: Path

    def read(self) -> _Pem:
        pem = _Pem(_bytes("tls_certificate", self.certificate), _bytes("tls_key", self.key), _bytes("tls_ca", self.ca))
        certificate = _certificates("tls_certificate", self.certificate, pem.certificate)[0]
        _certificates("tls_ca", self.ca, pem.ca)
        _check_key(self.key, pem.key, certificate)
        _check_name(self.certificate, certificate, self.service)
        _check_time(self.certificate, certificate)
        return pem

    def stamp(self) -> _Stamp:
        """Changes whenever a file was replaced or written; empty where one is not there."""
        try:
            found = [path.stat() for path in (self.certificate, self.key, self.ca)]
        except OSError:
            return ()
        return tuple((one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns) for one in found)


class _Renewal:
    """Asked by gRPC at each handshake for the certificate of the moment."""

    def __init__(self, files: _Files, clock: Clock, *, mutual: bool) -> None:
        self._files = files
        self._clock = clock
        self._mutual = mutual
        # Of the files that are in use.
        self._stamp = files.stamp()
        # Of those that could not be used, and when they may be tried again.
        self._failed: tuple[_Stamp, float] | None = None

    def __call__(self) -> grpc.ServerCertificateConfiguration | None:
        """None: as before."""
        # Before the files are read: what changes while they are is seen at the next handshake.
        stamp = self._files.stamp()
        if stamp == self._stamp or self._pausing(stamp):
            return None
        try:
            pem = self._files.read()
        except SettingsError as error:
            # Half of a renewal, perhaps: the old certificate goes on until the files fit together.
            self._failed = (stamp, self._clock.monotonic() + RETRY_S)
            log.warning("certificate_not_renewed", reason=str(error))
            return None
        self._stamp, self._failed = stamp, None
        log.info("certificate_renewed", file=str(self._files.certificate))
        return pem.configuration(mutual=self._mutual)

    def _pausing(self, stamp: _Stamp) -> bool:
        return self._failed is not None and self._failed[0] == stamp and self._clock.monotonic() < self._failed[1]


def _renewable(files: _Files, pem: _Pem, clock: Clock | None, *, mutual: bool) -> grpc.ServerCredentials:
    return grpc.dynamic_ssl_server_credentials(
        pem.configuration(mutual=mutual),
        _Renewal(files, clock or SystemClock(), mutual=mutual),  # type: ignore[arg-type]  # None is allowed and means: as before
        require_client_authentication=mutual,
    )


def _bytes(field: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(PEM_BYTES_MAX + 1)
    except OSError as error:
        raise SettingsError(f"{variable(field)}: {path} can't be read ({error.strerror})") from None
    if len(content) > PEM_BYTES_MAX:
        raise SettingsError(f"{variable(field)}: {path} is too large for a PEM file")
    return content


def _certificates(field: str, path: Path, content: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        raise SettingsError(f"{variable(field)}: {path} holds no certificate in PEM") from None


def _check_key(path: Path, content: bytes, certificate: x509.Certificate) -> None:
    name = variable("tls_key")
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError):
        raise SettingsError(f"{name}: {path} holds no private key in PEM, or one with a password") from None
    if key.public_key() != certificate.public_key():
        raise SettingsError(f"{name}: {path} is not the key of the certificate in {variable('tls_certificate')}")


def _check_name(path: Path, certificate: x509.Certificate, service: str) -> None:
    """Refuse one that the other services would refuse."""
    name = certificate_name(service)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    if name not in names.get_values_for_type(x509.DNSName):
        raise SettingsError(
            f"{variable('tls_certificate')}: {path} is not one of the {service} service: its DNS names lack {name}"
        )


def _check_time(path: Path, certificate: x509.Certificate) -> None:
    now, until = datetime.now(UTC), certificate.not_valid_after_utc
    if until <= now:
        raise SettingsError(f"{variable('tls_certificate')}: {path} expired on {until:%Y-%m-%d}: renew it")
    if until - now < EXPIRES_SOON:
        log.warning("certificate_expires_soon", file=str(path), until=until.isoformat())
